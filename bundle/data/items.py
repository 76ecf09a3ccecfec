"""Phenotype items on disk, and the dictionary that says what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from bundle.analysis.values_apart import words_on_values_apart
from bundle.data.problems import InputProblems
from bundle.data.tables import read_strictly

SCALES = ("number", "ordinal")
LEAST_OTHERS = 5
"""People whose answer is not the most frequent one, at least: fewer would make a factor of their own."""


@dataclass(frozen=True)
class ItemFacts:
    """What the data dictionary says of an item.

    Args:
        label: for people; None takes the column's name.
        direction: -1 turns the item round, so that more of it is more of what its label says.
        scale: `number`, or `ordinal`: only the order of its values counts.
        demographic: describes people and has no part in the factors.
    """

    label: str | None = None
    direction: int = 1
    scale: str = "number"
    demographic: bool = False


@dataclass(frozen=True)
class ItemTable:
    """Items of people.

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


def read_items(file: str | Path, dictionary: str | Path | Mapping[str, Any] | None, id_column: str) -> ItemTable:
    """Read an items table, tab-separated or (`.csv`) comma-separated.

    Args:
        file: a row per person.
        dictionary: YAML file or mapping: column -> arguments of `ItemFacts`; columns that it does not name are not read. None
            takes every column as a number.
        id_column: holds the participant ids.

    Raises:
        InputProblems: with all that is wrong in the table and the dictionary.
    """
    path = Path(file).expanduser()
    table = read_by_id(path, id_column)
    known = _read_dictionary(dictionary) if dictionary is not None else {name: ItemFacts() for name in table}
    problems = [
        f"{name}: in the dictionary but no column of {path.name}: correct the name or remove the entry."
        for name in known
        if name not in table
    ]
    values: dict[str, pd.Series] = {}
    demographics: dict[str, pd.Series] = {}
    directions, labels, is_ordinal = [], [], []
    for name, item in known.items():
        if name not in table:
            continue
        numbers = pd.to_numeric(table[name], errors="coerce").replace([np.inf, -np.inf], np.nan)
        odd = numbers.isna() & table[name].notna()
        if item.demographic:
            demographics[item.label or name] = table[name] if odd.any() else numbers
            continue
        if odd.any():
            few = ", ".join(f"{person} {table[name][person]!r}" for person in table.index[odd][:3])
            problems.append(
                f"{name}: {odd.sum()} values are no numbers, such as {few}: code them as numbers, name the item "
                "demographic in the dictionary, or leave it out of it."
            )
        values[name] = numbers * item.direction
        directions.append(item.direction)
        labels.append(item.label or (name if item.direction > 0 else f"{name} reversed"))
        is_ordinal.append(item.scale == "ordinal")
    if problems:
        raise InputProblems(f"Phenotypes {path}", problems)
    return ItemTable(
        pd.DataFrame(values, index=table.index),
        directions,
        labels,
        is_ordinal,
        pd.DataFrame(demographics, index=table.index),
    )


def read_by_id(path: Path, id_column: str, naming: str = "by --id_column") -> pd.DataFrame:
    """A table of words with the ids as index; tab-separated, or (`.csv`) comma-separated.

    Args:
        path: of the table.
        id_column: holds the ids.
        naming: how the id column is said to be another, for people.

    Raises:
        InputProblems: if it is no such table, or an id is missing or stands twice.
    """
    if not path.is_file():
        raise InputProblems("Phenotypes", [f"No {path}: give --phenotypes, a table with a row per person."])
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
    problems += [f"Row {row + 2} has no {id_column}." for row in np.flatnonzero(table[id_column].isna())]
    if problems:
        raise InputProblems(f"Phenotypes {path}", problems)
    return table.set_index(id_column)


def _read_dictionary(source: str | Path | Mapping[str, Any]) -> dict[str, ItemFacts]:
    content: Any = source
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if not path.is_file():
            raise InputProblems("Data dictionary", [f"No {path}: give a YAML file, or --dictionary '$None'."])
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputProblems("Data dictionary", [f"{path} is not YAML: {error}"]) from error
    if not isinstance(content, Mapping) or not content:
        raise InputProblems(
            "Data dictionary", [f"Expected item: {{label: ..., scale: number}} for each item, got {content!r:.80}."]
        )
    items, problems = {}, []
    for name, facts in content.items():
        try:
            item = ItemFacts(**(facts or {}))
        except TypeError:
            problems.append(f"{name}: expected label, direction, scale, demographic, got {facts!r}.")
            continue
        if item.direction not in (1, -1):
            problems.append(f"{name}: direction must be 1 or -1, got {item.direction!r}.")
        if item.scale not in SCALES:
            problems.append(f"{name}: scale must be one of {', '.join(SCALES)}, got {item.scale!r}.")
        items[str(name)] = item
    if problems:
        raise InputProblems("Data dictionary", problems)
    return items


def usable_items(table: ItemTable, names: Sequence[str], most_missing: float) -> pd.DataFrame:
    """What becomes of each item: columns `item`, `label`, `state` (used, left out), `reason`, `missing` (share), and of the
    table's own numbers `least`, `largest` and `apart`, see `words_on_values_apart`.

    Args:
        table: items.
        names: the people who are analysed.
        most_missing: share of them who may lack an item.
    """
    values = table.values.loc[list(names)]
    rows = []
    for (name, turned), direction, label in zip(values.items(), table.directions, table.labels, strict=True):
        column = turned * direction
        missing = float(column.isna().mean())
        reason = ""
        if missing == 1:
            reason = "nobody has a value"
        elif column.nunique() == 1:
            reason = "the same for everybody"
        elif (others := int(column.notna().sum() - column.value_counts().iloc[0])) < LEAST_OTHERS:
            reason = f"only {others} people differ from all others, {LEAST_OTHERS} are needed"
        elif missing > most_missing:
            reason = f"missing in {missing:.0%} of people, more than {most_missing:.0%}"
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
