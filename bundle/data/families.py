"""Families as tables name them: words that mean that a participant has none, and families that are too large to be one."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

import numpy as np
import pandas as pd

from bundle.data.id_forms import level_form
from bundle.data.missing_words import is_missing
from bundle.data.table_text import unquoted

logger = logging.getLogger(__name__)
FAMILY_SIZE = "family_size"
"""Column, or entry of a datalist, by which a user confirms a large family."""
LARGE_FAMILY = 12
LARGE_SHARE, LARGE_IN_SHARE = 0.1, 10
"""Families of more than `LARGE_FAMILY`, or of this share of all participants if they have so many members, must be confirmed."""
NO_FAMILY = frozenset(
    re.findall(
        r"\S+",
        """
    none nil no non false unrelated alone single singleton singletons sole solo only independent unpaired nofamily nobody
    notrelated norelatives nosiblings onlychild unique self own na n nf unk unkn undefined unassigned excluded not no_family
        """,
    )
)
"""Words, in lower case and without blanks or hyphens, that mean no family; those for a missing value do, too."""


def alone(name: str) -> str:
    """Family of a participant who is the only one in it."""
    return f"family of {name}"


def known_families(labels: pd.Series, whose: str = "") -> pd.Series:
    """Families in one writing each, NaN for participants without one.

    No family are words such as `none`, numbers up to 0, and rows of sevens, eights or nines (999) that are larger than every
    other number of a family; the last is said on the log where several participants have it.

    Args:
        labels: of participants, as text.
        whose: table, for the log.
    """
    forms = labels.map(lambda word: level_form(unquoted(str(word))), na_action="ignore")
    words = forms.dropna().unique()
    none = {word for word in words if _is_word_for_none(word)}
    numbers = {word: int(word) for word in words if re.fullmatch(r"[1-9]\d{0,14}", word)}
    codes = {word for word in numbers if re.fullmatch(r"7{2,}|8{2,}|9{2,}", word)}
    others = [number for word, number in numbers.items() if word not in codes]
    largest = max(others, default=0)
    codes = {word for word in codes if numbers[word] > largest + 1}
    for code in sorted(codes):
        count = int((forms == code).sum())
        if count > 1:
            logger.warning(
                "%sfamily_id %s of %d participants is taken for no family: if it is one, write it as a word, such as F%s.",
                f"{whose}: " if whose else "", code, count, code,
            )  # fmt: skip
    return forms.where(~forms.isin(none | codes), np.nan)


def _is_word_for_none(word: str) -> bool:
    number = re.fullmatch(r"-\d+(\.\d+)?|0+", word)
    return number is not None or is_missing(word) or re.sub(r"[\s-]", "", word.casefold()) in NO_FAMILY


def family_problems(families: Mapping[str, str], sizes: Mapping[str, object] | None = None) -> list[str]:
    """A sentence for each family that is implausible: too large, or another's name but for upper and lower case.

    Args:
        families: participant id -> family.
        sizes: participant id -> number of members as the user says it, in `family_size`; it confirms a large family.
    """
    members: dict[str, list[str]] = {}
    for name, family in families.items():
        members.setdefault(family, []).append(name)
    problems = []
    for family, names in members.items():
        is_large = len(names) > LARGE_FAMILY or (
            len(names) >= LARGE_IN_SHARE and len(names) > LARGE_SHARE * len(families)
        )
        if is_large and not all(_number((sizes or {}).get(name)) >= len(names) for name in names):
            problems.append(
                f"Family {family} has {len(names)} of {len(families)} participants, such as {', '.join(names[:3])}: if that word "
                f"means no family, leave their family_id empty; if it is one family, say so by {FAMILY_SIZE} {len(names)} "
                "for each of them, a column beside family_id."
            )
    labels = pd.Series(sorted(members), dtype=object)
    problems += [
        f"Families {' and '.join(group)} differ in upper and lower case alone: write one of them."
        for _, group in labels.groupby(labels.str.casefold())
        if len(group) > 1 and not all(family == alone(members[family][0]) for family in group)
    ]
    return problems


def _number(value: object) -> float:
    number = pd.to_numeric(pd.Series([value]), errors="coerce").iloc[0]
    return 0.0 if np.isnan(number) else float(number)
