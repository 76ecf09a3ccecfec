"""Phenotype items on disk, and the dictionary that says what they are."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bundle.analysis.values_apart import words_on_values_apart
from bundle.data.data_dictionary import ItemFacts, read_dictionary
from bundle.data.id_forms import in_words_of, joined_twice
from bundle.data.missing_words import as_numbers, numbers_of
from bundle.data.plausible import implausible_values
from bundle.data.problems import InputProblems
from bundle.data.relative_columns import is_relative_column
from bundle.data.tables import indexed_by, read_strictly, words_on_missing

logger = logging.getLogger(__name__)
LEAST_OTHERS = 5
"""Participants whose answer is not the most frequent one, at least: fewer would make a factor of their own."""


@dataclass(frozen=True)
class ItemTable:
    """Items of participants.

    Attributes:
        values: a row per participant_id, a column per item that may enter the factors; numbers, NaN if missing, turned
            to the dictionary's direction.
        directions: of these columns, 1 or -1: what the table's own numbers were multiplied by.
        labels: of these columns; one that was turned round and has no label of its own is "reversed".
        is_ordinal: of these columns.
        demographics: a column per demographic item; numbers, or words.
    """

    values: pd.DataFrame
    directions: list[int]
    labels: list[str]
    is_ordinal: list[bool]
    demographics: pd.DataFrame

    def with_ids_of(self, names: Sequence[str]) -> ItemTable:
        """The same with the ids of participants as `names` writes them, where these are the same by `id_form`.

        Raises:
            InputProblems: if two rows are one participant.
        """
        same = in_words_of(self.values.index, names)
        twice = joined_twice(same)
        if twice:
            raise InputProblems("Phenotypes", twice)
        other = next(((own, theirs) for own, theirs in same.items() if own != theirs), None)
        if other:
            logger.info("Phenotypes write ids in another way: %s is %s.", *other)
        return replace(self, values=self.values.rename(index=same), demographics=self.demographics.rename(index=same))


def read_items(file: str | Path, dictionary: str | Path | Mapping[str, Any] | None, id_column: str) -> ItemTable:
    """Read an items table, tab-separated or (`.csv`) comma-separated.

    Args:
        file: a row per participant.
        dictionary: YAML file or mapping: column -> arguments of `ItemFacts`; columns that it does not name are not read. None
            takes every column as a number.
        id_column: holds the participant ids.

    Raises:
        InputProblems: with all that is wrong in the table and the dictionary.
    """
    path = Path(file).expanduser()
    table = read_by_id(path, id_column)
    known = read_dictionary(dictionary) if dictionary is not None else {name: ItemFacts() for name in table if not is_relative_column(name)}  # fmt: skip
    problems = [
        f"{name}: in the dictionary but no column of {path.name}: correct the name or remove the entry."
        for name in known
        if name not in table
    ]
    named = {name: item for name, item in known.items() if name in table}
    numbers = pd.DataFrame(numbers_of(table[list(named)]), index=table.index, columns=list(named))
    in_words = (numbers.isna() & table[list(named)].notna()).sum()
    demographics: dict[str, pd.Series] = {}
    n_words = 0
    for name in in_words.index[in_words > 0]:
        _, odd = as_numbers(table[name])
        if named[name].demographic:
            demographics[name] = table[name] if odd.any() else numbers[name]
            continue
        n_words += int(in_words[name] - odd.sum())
        problems += [] if not odd.any() else [_words_in(table[name], odd, int(numbers[name].notna().sum()))]
    items = {name: item for name, item in named.items() if not item.demographic}
    problems += [
        f"{name}: is an id of relatives, no phenotype: remove the entry, or name it demographic."
        for name in items
        if is_relative_column(name)
    ]
    values = numbers[list(items)]
    problems += implausible_values(values)
    if problems:
        raise InputProblems(f"Phenotypes {path}", problems)
    said = words_on_missing(table, path.name)
    if said:
        logger.info("%s", said)
    if n_words:
        logger.info("%s: %d more cells of items are missing by words such as none.", path.name, n_words)
    described = {item.label or name: demographics.get(name, numbers[name]) for name, item in named.items() if item.demographic}  # fmt: skip
    directions = [item.direction for item in items.values()]
    return ItemTable(
        values * directions,
        directions,
        [item.label or (name if item.direction > 0 else f"{name} reversed") for name, item in items.items()],
        [item.scale == "ordinal" for item in items.values()],
        pd.DataFrame(described, index=table.index),
    )


def _words_in(words: pd.Series, odd: pd.Series, n_numbers: int) -> str:
    """A sentence on an item with words that are neither numbers nor missing values."""
    few = ", ".join(f"{person} {word!r}" for person, word in words[odd].iloc[:3].items())
    mostly = "most values are words" if odd.sum() > n_numbers else f"{odd.sum()} values are no numbers"
    return (
        f"{words.name}: {mostly}, such as {few}: code them as numbers, name the item demographic in the dictionary, or leave it "
        "out of it."
    )


def read_by_id(path: Path, id_column: str, naming: str = "by --id_column") -> pd.DataFrame:
    """A table of words with the ids as index; tab-separated, or (`.csv`) comma-separated.

    Args:
        path: of the table.
        id_column: holds the ids.
        naming: how the id column is said to be another, for participants.

    Raises:
        InputProblems: if it is no such table, or an id is missing or stands twice.
    """
    if not path.is_file():
        raise InputProblems("Phenotypes", [f"No {path}: give --phenotypes, a table with a row per participant."])
    is_csv = path.suffix.lower() == ".csv"
    try:
        table = read_strictly(path, "," if is_csv else "\t")
    except ValueError as error:
        raise InputProblems(
            "Phenotypes",
            [
                f"{path} is not a table in UTF-8 with as many fields in each row as in the header ({error}): save it as one."
            ],
        ) from error
    if id_column not in table:
        kind = "comma" if is_csv else "tab"
        raise InputProblems(
            "Phenotypes",
            [
                f"{path} has no column {id_column!r}, it has {', '.join(map(str, table.columns[:8]))}: name the id column "
                f"{naming}, and separate columns by {kind}s."
            ],
        )
    problems = [
        f"{name}: stands in {count} rows: keep one."
        for name, count in table[id_column].dropna().value_counts().items()
        if count > 1
    ]
    problems += [f"Line {line} has no {id_column}." for line in table.index[table[id_column].isna()]]
    if problems:
        raise InputProblems(f"Phenotypes {path}", problems)
    return indexed_by(table, id_column)


def usable_items(table: ItemTable, names: Sequence[str], most_missing: float) -> pd.DataFrame:
    """What becomes of each item: columns `item`, `label`, `state` (used, left out), `reason`, `missing` (share), and of the
    table's own numbers `least`, `largest` and `apart`, see `words_on_values_apart`.

    Args:
        table: items.
        names: the participants who are analysed.
        most_missing: share of them who may lack an item.
    """
    values = table.values.loc[list(names)]
    rows = []
    for (name, turned), direction, label in zip(values.items(), table.directions, table.labels, strict=True):
        column = turned * direction
        missing = float(column.isna().mean())
        reason = ""
        if missing == 1:
            reason = "no participant has a value"
        elif column.nunique() == 1:
            reason = "the same for all participants"
        elif (others := int(column.notna().sum() - column.value_counts().iloc[0])) < LEAST_OTHERS:
            reason = f"only {others} participants differ from all others, {LEAST_OTHERS} are needed"
        elif missing > most_missing:
            reason = f"missing in {missing:.0%} of participants, more than {most_missing:.0%}"
        rows.append(
            {
                "item": name,
                "label": label,
                "state": "left out" if reason else "used",
                "reason": reason,
                "missing": missing,
                "least": column.min(),
                "largest": column.max(),
                "apart": words_on_values_apart(column.to_numpy(dtype=float)),
            }
        )
    return pd.DataFrame(rows)
