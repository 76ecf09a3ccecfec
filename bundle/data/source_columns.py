"""Columns that are made of a source's tables: covariates and phenotype items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bundle.data.column_names import is_any_of
from bundle.data.layouts import Layout
from bundle.data.missing_words import as_numbers, listed_words, numbers_of
from bundle.data.plausible import LARGEST
from bundle.data.relative_columns import is_relative_column
from bundle.data.source_families import families
from bundle.data.source_tables import SourceTables, column_values

MOST_NAMED = 10


def participants_of(
    tables: SourceTables, layout: Layout, sessions: Mapping[str, str], seed: int, with_restricted: bool
) -> pd.DataFrame:
    """Covariates of participants: index `participant_id`, `family_id`, then the layout's other columns that have a value.

    Args:
        tables: of the source.
        layout: says which columns.
        sessions: participant id -> session ("" if there are none); the participants wanted.
        seed: of the order of families' numbers.
        with_restricted: whether restricted columns may be used; families always are, as running numbers.
    """
    names = list(sessions)
    values = tables.values.reindex(names)
    allowed = set(values.columns) - (set() if with_restricted else tables.restricted)
    table = pd.DataFrame({"family_id": families(tables, layout, names, seed)})
    for name, source in layout.participants.items():
        if name != "family_id":
            table[name] = column_values(source, values, pd.Series(sessions, dtype=object), allowed)
    table.index.name = "participant_id"
    return table.dropna(axis=1, how="all")


def phenotypes_of(
    tables: SourceTables, layout: Layout, names: Sequence[str], wanted: Sequence[str] | None, with_restricted: bool
) -> tuple[pd.DataFrame, list[str]]:
    """Phenotype items of participants: columns of numbers that the layout allows and that are no covariates or ids of relatives.

    A word in a column that mostly holds numbers, or a number that is infinite or huge, is a missing value.

    Args:
        tables: of the source.
        layout: says which columns may be items.
        names: participant ids.
        wanted: columns, with `*`; None takes those of the layout.
        with_restricted: whether restricted columns may be used.

    Returns:
        The items, and sentences on cells that became missing and columns that are no items since they hold words.
    """
    values = tables.values.reindex(list(names))
    covariates = [
        column.replace("{session}", "*") for source in layout.participants.values() for column in source.columns
    ]
    taken = {name for name in values if is_relative_column(name) or is_any_of(name, covariates)}
    taken |= {image.column for image in layout.images.values()}
    if not with_restricted:
        taken |= tables.restricted
    patterns = layout.phenotypes if wanted is None else wanted
    values = values[[name for name in values if name not in taken and is_any_of(name, patterns)]]
    numbers, there = numbers_of(values), values.notna().to_numpy(dtype=bool)
    odd = there & ~(np.abs(numbers) <= LARGEST)
    is_item = np.zeros(values.shape[1], dtype=bool)
    words, notes = [], []
    for position, name in enumerate(map(str, values.columns)):
        n_odd, n_there = int(odd[:, position].sum()), int(there[:, position].sum())
        is_item[position] = n_there > n_odd and not n_odd
        if not n_odd:
            continue
        _, unread = as_numbers(values.iloc[:, position])
        n_words = int(unread.sum())
        if n_there - n_odd < max(n_words, 1):
            words.append(name)
            continue
        is_item[position] = True
        told = listed_words(values.iloc[:, position][odd[:, position]].tolist())
        notes.append(f"{name}: {n_odd} cells are missing, since they hold no number ({told}).")
    if words:
        few = ", ".join(words[:MOST_NAMED]) + (
            f" and {len(words) - MOST_NAMED} more" if len(words) > MOST_NAMED else ""
        )
        notes.append(f"{len(words)} columns hold mostly words and are no phenotype items: {few}.")
    table = values.loc[:, is_item].mask(odd[:, is_item])
    table.index.name = "participant_id"
    return table, notes
