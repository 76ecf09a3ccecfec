"""Families of a source's participants: of a column, of parents and twins that they share, and of a list of related pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from bundle.data.families import known_families
from bundle.data.id_forms import in_words_of
from bundle.data.layouts import ColumnSource, Layout
from bundle.data.relative_columns import is_relative_column
from bundle.data.source_tables import SourceTables, column_values


def families(tables: SourceTables, layout: Layout, names: Sequence[str], seed: int) -> pd.Series:
    """Family of each participant, or NaN; running numbers in random order if the source's own may not be passed on.

    Args:
        tables: of the source; related pairs, and columns that name parents, twins or families, join families.
        layout: its `family_id` names the column.
        names: participant ids.
        seed: of the order.
    """
    labels, joined = joined_families(tables, layout, names)
    own = set(layout.participants.get("family_id", ColumnSource(())).columns)
    if not joined and not tables.related and not tables.restricted & own:
        return labels
    known = np.random.default_rng(seed).permutation(labels.dropna().unique())
    return labels.map({label: f"family-{number + 1:05d}" for number, label in enumerate(known)}, na_action="ignore")


def joined_families(tables: SourceTables, layout: Layout, names: Sequence[str]) -> tuple[pd.Series, list[str]]:
    """Families as the source has them or as relatives join them, and a sentence if columns of relatives join some.

    Whoever links two participants counts, also if they are not among `names` themselves.
    """
    values = tables.values.reindex(tables.values.index.union(pd.Index(names, dtype=object), sort=False))
    source = layout.participants.get("family_id", ColumnSource(()))
    everybody = column_values(source, values, pd.Series("", index=values.index), set(values.columns))
    labels = known_families(everybody, "family_id")
    pairs = [_pairs_of(labels), _positions(tables.related, values.index)]
    before = _components(pairs, len(values))
    by_column = {
        str(name): _by_column(known_families(values[name]), values.index) for name in values if is_relative_column(name)
    }
    after = _components([*pairs, *by_column.values()], len(values))
    place = values.index.get_indexer(pd.Index(names, dtype=object))
    n_before, n_after = len(np.unique(before[place])), len(np.unique(after[place]))
    if n_after == n_before and not tables.related:
        return labels.reindex(names), []
    own = pd.Series(after[place], index=pd.Index(names), dtype=object)
    if n_after == n_before:
        return own, []
    return own, [f"{n_before} families became {n_after} by columns that name relatives."]


def _pairs_of(labels: pd.Series) -> np.ndarray:
    """Rows of one label with the first of them, `(P, 2)`."""
    codes = pd.factorize(labels)[0]
    rows = np.flatnonzero(codes >= 0)
    _, first, inverse = np.unique(codes[rows], return_index=True, return_inverse=True)
    return np.column_stack([rows[first][inverse], rows])


def _by_column(labels: pd.Series, people: pd.Index) -> np.ndarray:
    """As `_pairs_of`, and each row with the participant whose id its label is."""
    words = labels.dropna().unique()
    person = in_words_of(words, map(str, people))
    named = labels[labels.isin(list(person))]
    links = list(zip(named.index, named.map(person), strict=True))
    return np.concatenate([_pairs_of(labels), _positions(links, people)])


def _positions(pairs: Sequence[tuple[str, str]], people: pd.Index) -> np.ndarray:
    found = people.get_indexer(pd.Index(np.array(pairs, dtype=object).reshape(-1, 2).ravel())).reshape(-1, 2)
    return found[(found >= 0).all(axis=1)]


def _components(pairs: Sequence[np.ndarray], count: int) -> np.ndarray:
    """The family of each row, as a number."""
    rows, columns = np.concatenate(pairs).astype(int).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(count, count))
    return connected_components(graph, directed=False)[1]
