"""Do the borders between clusters stay when there are more clusters, and are there gaps along them?

A continuum is cut where it suits the number of pieces, so its borders move with that number. Groups with gaps between them stay,
as unions of finer clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from scipy.sparse.csgraph import minimum_spanning_tree

from bundle.analysis.discriminant import Discriminant, cluster
from bundle.analysis.gap_test import Gap
from bundle.analysis.held_out_gaps import CrossFit, cross_fit

Pair = tuple[int, int]


@dataclass
class Clusterings:
    """Clusterings of the same participants into any number of clusters, each made once, when it is asked for.

    Args:
        points: `(N, D)`.
        fold_of: `(N,)` folds 0 .. F-1 of whole families.
        seed: of the starts of k-means.
    """

    points: np.ndarray
    fold_of: np.ndarray
    seed: int
    _labels: dict[int, np.ndarray | None] = field(default_factory=dict)
    _gaps: dict[int, tuple[list[Pair], list[Gap | None]]] = field(default_factory=dict)

    def labels(self, number: int) -> np.ndarray | None:
        """`(N,)` 0 .. number - 1; None if there are no such clusters."""
        if number not in self._labels:
            self._labels[number] = cluster(self.points, number, self.seed)
        return self._labels[number]

    def fits(self, number: int, least_stability: float = 0.0) -> CrossFit:
        """See `cross_fit`; complete only where the stability is reached."""
        labels = self.labels(number)
        assert labels is not None
        clusterer = partial(cluster, n_clusters=number, seed=self.seed)
        return cross_fit(self.points, labels, self.fold_of, clusterer, least_stability)

    def gaps(self, number: int, fits: CrossFit | None = None) -> tuple[list[Pair], list[Gap | None]]:
        """Neighbouring clusters, see `Discriminant.neighbours`, and the gap between each two; `fits` if they are known."""
        labels = self.labels(number)
        if labels is None:
            return [], []
        if number not in self._gaps:
            fits = fits or self.fits(number)
            pairs = Discriminant.fit(self.points, labels).neighbours() if fits.folds else []
            self._gaps[number] = pairs, fits.gaps(pairs)
        return self._gaps[number]


def union_labels(labels: np.ndarray, finer: np.ndarray) -> np.ndarray:
    """The cluster that most members of each finer cluster are of: `(F,)` numbers of `labels`, for `finer` 0 .. F-1."""
    table = np.zeros((finer.max() + 1, labels.max() + 1))
    np.add.at(table, (finer, labels), 1)
    return table.argmax(axis=1)


def agreement(labels: np.ndarray, finer: np.ndarray) -> float:
    """Mean Jaccard index of each cluster and the union of the finer clusters most of whose members are its own."""
    union = union_labels(labels, finer)[finer]
    numbers = range(int(labels.max()) + 1)
    either = [((labels == number) | (union == number)).sum() for number in numbers]
    return float(np.mean([((labels == n) & (union == n)).sum() / either[n] for n in numbers]))


def weakest_of_each(pairs: Sequence[Pair], gaps: Sequence[Gap | None]) -> dict[Pair, Gap]:
    """The weakest gap of each pair of different clusters, of pairs that come any number of times; the smaller number is first."""
    weakest: dict[Pair, Gap] = {}
    for (one, other), gap in zip(pairs, gaps, strict=True):
        pair = min(one, other), max(one, other)
        if one != other and gap is not None and (pair not in weakest or gap.z_value < weakest[pair].z_value):
            weakest[pair] = gap
    return weakest


def weakest_gaps(n_clusters: int, pairs: Sequence[Pair], gaps: Sequence[Gap | None]) -> list[Gap]:
    """The K - 1 weakest gaps by which every cluster can be reached from every other one.

    Not all: the two ends of a bent continuum may face each other across a wide gap, which says nothing about the way from one
    to the other along the bend.

    Args:
        n_clusters: K.
        pairs: of clusters, any number of times.
        gaps: of each pair; None where nothing can be seen.

    Returns:
        None of them if some cluster is not reached.
    """
    weakest = weakest_of_each(pairs, gaps)
    if not weakest:
        return []
    least = min(gap.z_value for gap in weakest.values())
    ways = np.zeros((n_clusters, n_clusters))
    for pair, gap in weakest.items():
        ways[pair] = 1 + gap.z_value - least  # a tree takes no notice of zeros
    tree = minimum_spanning_tree(ways).toarray() > 0
    return [gap for pair, gap in weakest.items() if tree[pair]] if tree.sum() == n_clusters - 1 else []


def gaps_between(labels: np.ndarray, clusterings: Clusterings, number: int) -> list[Gap]:
    """`weakest_gaps` between clusters, as neighbours among `number` finer clusters see them."""
    finer = clusterings.labels(number)
    if finer is None:
        return []
    union = union_labels(labels, finer)
    pairs, gaps = clusterings.gaps(number)
    return weakest_gaps(int(labels.max()) + 1, [(int(union[a]), int(union[b])) for a, b in pairs], gaps)
