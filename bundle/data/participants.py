"""The participants table: who there is, and of which family."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pandas as pd

from bundle.data.families import FAMILY_SIZE, alone, family_problems, known_families
from bundle.data.missing_words import numbers_of
from bundle.data.plausible import RANGES, implausible_values
from bundle.data.problems import InputProblems
from bundle.data.relative_columns import is_family_column
from bundle.data.tables import read_strictly, words_on_missing
from bundle.paths import PARTICIPANTS

logger = logging.getLogger(__name__)
LONGEST_ID = 120
"""Characters of an id: names of files hold it twice and more, and may have 255."""


def check_ids(names: Iterable[str], where: str) -> list[str]:
    """A sentence for each id that cannot name a folder: ids are some letters, digits, `_`, `-`, `.` and `+`."""
    problems = []
    for name in names:
        if len(name) > LONGEST_ID:
            problems.append(f"{where}: participant_id {name[:20]!r}... has {len(name)} characters, {LONGEST_ID} at most: shorten it.")  # fmt: skip
        elif not re.fullmatch(r"[A-Za-z0-9_][\w.+-]*", name, flags=re.ASCII):
            problems.append(
                f"{where}: participant_id {name!r} must be letters, digits, '_', '-', '.' or '+', and start with one of the "
                "first three: rename it."
            )
    return problems


def read_participants(source: str | Path) -> pd.DataFrame:
    """A participants table, or the `participants.tsv` of a cohort folder; all values as text.

    A participant without `family_id`, or with a word that means none, is a family of their own.

    Raises:
        InputProblems: without the file, its id column, with ids that are empty or there twice, families under another spelling
            or too large to be one, and values that no participant has.
    """
    path = Path(source) / PARTICIPANTS if Path(source).is_dir() else Path(source)
    if not path.is_file():
        raise InputProblems(
            "Participants",
            [f"{path} is missing: expected a tab-separated table with a column participant_id, a row per participant."],
        )
    try:
        table = read_strictly(path)
    except ValueError as error:
        raise InputProblems(str(path), [f"Not a tab-separated table in UTF-8 ({error}): save it as one."]) from error
    if "participant_id" not in table:
        raise InputProblems(
            str(path), [f"Expected a column participant_id, got {list(table.columns[:20])}: rename the id column."]
        )
    names = table["participant_id"]
    problems = [
        f"{path}: participant_id {name!r} stands in {count} rows: keep one."
        for name, count in Counter(names.dropna()).items()
        if count > 1
    ]
    problems += [f"{path}: line {line} has no participant_id." for line in table.index[names.isna()]]
    problems += check_ids(names.dropna(), str(path))
    if "family_id" not in table:
        problems += [
            f"{path}: column {column!r} would not be read as families: rename it to family_id."
            for column in table
            if is_family_column(column)
        ]
    if not len(table):
        problems.append(f"{path} lists no participant: expected a row per participant.")
    if problems:
        raise InputProblems("Participants", problems)
    own = names.map(alone)
    families = known_families(table["family_id"], path.name).fillna(own) if "family_id" in table else own
    sizes = dict(zip(names, table[FAMILY_SIZE], strict=True)) if FAMILY_SIZE in table else None
    problems = family_problems(dict(zip(names, families, strict=True)), sizes)
    known = table[[name for name in RANGES if name in table]].set_index(pd.Index(names))
    problems += implausible_values(pd.DataFrame(numbers_of(known), known.index, known.columns))
    if problems:
        raise InputProblems(f"Participants {path}", problems)
    _say_once(words_on_missing(table, path.name))
    table["family_id"] = families
    return table.reset_index(drop=True)


@cache
def _say_once(words: str) -> None:
    """Several stages' parts read one table; that cells are missing is said once."""
    if words:
        logger.info("%s", words)
