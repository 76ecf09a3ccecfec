"""Partitions of all participants: carried over from the few that the choice was made on, or a single stratum."""

from __future__ import annotations

import numpy as np

from bundle.analysis.cluster_choice import Choice
from bundle.analysis.discriminant import Discriminant, refine
from bundle.analysis.family_draws import family_subsamples


def rows_for_choice(family_of: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Rows of all participants, or of random whole families that make up about `size` participants."""
    if len(family_of) <= size:
        return np.arange(len(family_of))
    return next(family_subsamples(family_of, 1, size / len(family_of), seed))


def one_stratum(points: np.ndarray) -> np.ndarray:
    """Labels when there are no strata: all participants' is 0."""
    return np.zeros(len(points), dtype=int)


def partition_everybody(points: np.ndarray, few: np.ndarray, choice: Choice) -> np.ndarray:
    """All participants' cluster, as the discriminant of the chosen clusters has it: labels `(N,)`, largest cluster first.

    Args:
        points: `(N, D)`.
        few: rows that the choice was made on.
        choice: with something chosen.
    """
    assert choice.chosen is not None
    kept = few[~choice.outlying]
    model = Discriminant.fit(points[kept], choice.chosen.labels)
    labels = model.assign(points)
    labels[kept] = choice.chosen.labels
    refined = refine(points, labels)
    return by_size(labels if refined is None else refined)


def exemplars_of(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The participant nearest to the mean of each cluster, in the metric of the discriminant: rows `(K,)`."""
    model = Discriminant.fit(points, labels)
    found = []
    for label, centre in enumerate(model.centres):
        members = np.flatnonzero(labels == label)
        away = points[members] - centre
        found.append(members[np.einsum("nd,de,ne->n", away, model.precision, away).argmin()])
    return np.array(found)


def match_to_strata(labels: np.ndarray, found: np.ndarray, n_found: int, n_strata: int) -> np.ndarray:
    """The stratum that most members of each found cluster are of, `(n_found,)`.

    Args:
        labels: `(N,)` strata.
        found: `(N,)` clusters of the same participants.
        n_found: number of clusters.
        n_strata: number of strata.
    """
    table = np.zeros((n_found, n_strata))
    np.add.at(table, (found, labels), 1)
    return table.argmax(axis=1)


def by_size(labels: np.ndarray) -> np.ndarray:
    """Number clusters from the largest to the smallest; ties keep their order."""
    order = np.argsort(-np.bincount(labels), kind="stable")
    rank = np.empty(len(order), dtype=int)
    rank[order] = np.arange(len(order))
    return rank[labels]
