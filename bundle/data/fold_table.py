"""Who is in which fold, as a table that can be written by hand."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bundle.data.datalist import Item
from bundle.data.families import known_families
from bundle.data.id_forms import in_words_of
from bundle.data.problems import InputProblems
from bundle.data.tables import read_strictly

EXPECTED = "a tab-separated table with columns participant_id and fold, a row per participant"


def read_fold_table(path: str | Path, items: Sequence[Item]) -> tuple[pd.DataFrame, list[str]]:
    """A table of folds, and a sentence for each thing that is wrong with it.

    Args:
        path: columns `participant_id`, `fold` (whole numbers from 1) and, if you like, `family_id` and others.
        items: all participants of the cohort.

    Returns:
        The table in the order of the items, folds as numbers, families as in the cohort; and the sentences. With
        sentences the table is not to be used.

    Raises:
        InputProblems: if the file is no such table at all.
    """
    table = _read(Path(path))
    family_of = {item["participant_id"]: item["family_id"] for item in items}
    same = in_words_of(table["participant_id"].dropna(), family_of)
    names = table["participant_id"] = table["participant_id"].map(lambda name: same.get(name, name), na_action="ignore")
    counts = Counter(names.dropna())
    problems = [f"{path}: line {line} has no participant_id." for line in table.index[names.isna()]]
    problems += [f"{path}: {name} stands in {count} rows: keep one." for name, count in counts.items() if count > 1]
    problems += [f"{path}: {name} is not in the cohort: remove the row." for name in counts if name not in family_of]
    problems += [f"{path}: {name} of the cohort is not in it: add a row." for name in family_of if name not in counts]
    numbers = pd.to_numeric(table["fold"], errors="coerce")
    odd = ~((numbers >= 1) & (numbers % 1 == 0))
    for name, text in zip(names[odd], table["fold"][odd], strict=True):
        came = "nothing" if pd.isna(text) else repr(text)
        problems.append(f"{path}: {name}: expected a whole number from 1 as fold, got {came}.")
    table["fold"] = numbers.where(~odd, 0).astype(int)
    last = int(table["fold"].max()) if len(table) else 0
    if last < 2:
        problems.append(f"{path}: expected two folds or more, got {last}.")
    unused = sorted(set(range(1, min(last, len(table)) + 1)) - set(table["fold"]))
    problems += [
        f"{path}: no participant is in fold {number}, but {last} is used: number folds 1, 2, ..." for number in unused
    ]
    if "family_id" in table:
        pairs = zip(names, known_families(table["family_id"]), strict=True)
        problems += [
            f"{path}: {name} is of family {told}, in the cohort of {family_of[name]}: correct one of the two."
            for name, told in pairs
            if name in family_of and not pd.isna(told) and told != family_of[name]
        ]
    table["family_id"] = names.map(family_of)
    problems += families_apart(table)
    order = {name: number for number, name in enumerate(family_of)}
    return table.sort_values("participant_id", key=lambda column: column.map(order), ignore_index=True), problems


def families_apart(table: pd.DataFrame) -> list[str]:
    """A sentence for each family that is in more than one fold: relatives would leak into the test.

    Args:
        table: `participant_id`, `family_id`, `fold`; fold 0 counts as none.
    """
    members: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, family, fold in table[["participant_id", "family_id", "fold"]].itertuples(index=False):
        if fold and not pd.isna(family):
            members[family][fold].append(str(name))
    return [
        f"Family {family} is in "
        + " and ".join(f"fold {fold} ({', '.join(names)})" for fold, names in sorted(folds.items()))
        + ": put all its members in one fold."
        for family, folds in members.items()
        if len(folds) > 1
    ]


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputProblems("Folds", [f"{path} is missing: expected {EXPECTED}."])
    try:
        table = read_strictly(path)
    except ValueError as error:
        raise InputProblems("Folds", [f"{path} cannot be read ({error}): expected {EXPECTED}."]) from error
    absent = [name for name in ("participant_id", "fold") if name not in table]
    if absent:
        raise InputProblems(
            "Folds", [f"{path} has no column {' and '.join(absent)}, but {list(table.columns)}: expected {EXPECTED}."]
        )
    return table
