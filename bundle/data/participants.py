"""The participants table: who there is, and of which family."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from bundle.data.problems import InputProblems
from bundle.data.tables import read_strictly
from bundle.paths import PARTICIPANTS


def check_ids(names: Iterable[str], where: str) -> list[str]:
    """A sentence for each id that cannot name a folder: ids are letters, digits, `_`, `-`, `.` and `+`."""
    return [
        f"{where}: participant_id {name!r} must be letters, digits, '_', '-', '.' or '+', and start with one of the first "
        "three: rename it."
        for name in names
        if not re.fullmatch(r"[A-Za-z0-9_][\w.+-]*", name, flags=re.ASCII)
    ]


def alone(name: str) -> str:
    """Family of a person who is the only one in it."""
    return f"family of {name}"


def read_participants(source: str | Path) -> pd.DataFrame:
    """A participants table, or the `participants.tsv` of a cohort folder; all values as text.

    A person without `family_id` is a family of their own.

    Raises:
        InputProblems: without the file, its id column, with ids that are empty or there twice, or families under another spelling.
    """
    path = Path(source) / PARTICIPANTS if Path(source).is_dir() else Path(source)
    if not path.is_file():
        raise InputProblems(
            "Participants",
            [f"{path} is missing: expected a tab-separated table with a column participant_id, a row per person."],
        )
    try:
        table = read_strictly(path)
    except ValueError as error:
        raise InputProblems(str(path), [f"Not a tab-separated table in UTF-8 ({error}): save it as one."]) from error
    if "participant_id" not in table:
        raise InputProblems(
            str(path), [f"Expected a column participant_id, got {list(table.columns)}: rename the id column."]
        )
    problems = [
        f"{path}: participant_id {name!r} stands in {count} rows: keep one."
        for name, count in Counter(table["participant_id"].dropna()).items()
        if count > 1
    ]
    problems += [
        f"{path}: row {row + 2} has no participant_id." for row in np.flatnonzero(table["participant_id"].isna())
    ]
    problems += check_ids(table["participant_id"].dropna(), str(path))
    if "family_id" not in table:
        problems += [
            f"{path}: column {column!r} would not be read as families: rename it to family_id."
            for column in table
            if re.sub(r"[\W_]", "", str(column)).lower() == "familyid"
        ]
    if not len(table):
        problems.append(f"{path} lists nobody: expected a row per person.")
    if problems:
        raise InputProblems("Participants", problems)
    own = table["participant_id"].map(alone)
    table["family_id"] = table["family_id"].fillna(own) if "family_id" in table else own
    return table
