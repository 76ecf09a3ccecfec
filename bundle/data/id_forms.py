"""One normal form of ids and of levels, so that tables that write them in other ways can be joined."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from bundle.data.table_text import unquoted

LEAST_SHARED = 0.5
"""Share of the shorter of two lists of participants that must be in the other one."""
DIGITS = 15
"""Longer whole numbers are no floats, so they are left as they are."""


def id_form(name: str) -> str:
    """What an id is compared by: 1, 1.0, 001, sub-001, SUB-1 and "1" are one, and so are NDAR_INV1 and sub-NDARINV1."""
    word = unquoted(name).casefold()
    word = re.sub(r"^(?:sub|subj|subject|participant)[-_ ]?(?=\d)|^sub-", "", word)
    word = re.sub(r"(?<=[a-z])[-_](?=[a-z])", "", word)
    word = re.sub(r"^(\d+)\.0*$", r"\1", word)
    return re.sub(r"(?<![\d.])0+(?=\d)", "", word)


def level_form(word: str) -> str:
    """A level of a category, or a family: numbers as Python writes them, so that 1, 1.0 and 01 are one; words as they are."""
    if not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d{1,2})?", word, flags=re.IGNORECASE) or len(word) > DIGITS:
        return word
    number = float(word)
    return str(int(number)) if number == int(number) else repr(number)


def in_words_of(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Name -> the same id as `known` writes it, for names that are one of these by `id_form`.

    A name that is known is itself. One whose form several known ids have is no participant's.
    """
    exact = set(known)
    by_form: dict[str, str] = {}
    for other in exact:
        form = id_form(other)
        by_form[form] = "" if form in by_form else other
    found = {name: name if name in exact else by_form.get(id_form(name), "") for name in names}
    return {name: other for name, other in found.items() if other}


def joined_twice(same: Mapping[str, str]) -> list[str]:
    """A sentence for each known id that several names of one table stand for."""
    names: dict[str, list[str]] = {}
    for name, other in same.items():
        names.setdefault(other, []).append(name)
    return [
        f"{' and '.join(sorted(own))} are both {other}: keep one row." for other, own in names.items() if len(own) > 1
    ]


def too_few_shared(names: Collection[str], known: Collection[str], whose: str, others: str) -> str:
    """A sentence if two lists of participants have next to no participant in common, with both ways of writing ids; empty otherwise.

    A list that is part of the other is fine, however short it is.

    Args:
        names: ids of a table.
        known: ids of the participants that it should be about.
        whose: what `names` are, for participants.
        others: what `known` are.
    """
    shorter = min(len(names), len(known))
    shared = len(set(in_words_of(names, known).values()))
    if shared >= LEAST_SHARED * shorter:
        return ""
    own, theirs = (", ".join(sorted(map(str, ids))[:2]) for ids in (set(names), set(known)))
    count = "None" if not shared else f"Only {shared}"
    return (
        f"{count} of the {len(names)} {whose} (such as {own}) {'is' if shared < 2 else 'are'} among the {len(known)} "
        f"{others} (such as {theirs}): make the ids the same."
    )
