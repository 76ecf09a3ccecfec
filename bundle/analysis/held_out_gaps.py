"""How stable a clustering is, and its gaps, as participants see them who had no part in the clustering."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from bundle.analysis.discriminant import Discriminant
from bundle.analysis.gap_test import Gap, gap
from bundle.analysis.strata_quality import best_jaccard

Clusterer = Callable[[np.ndarray], np.ndarray | None]
"""`(N, D)` points to `(N,)` labels, or None."""


@dataclass(frozen=True)
class HeldOut:
    """A clustering of all but a fold of families, and the participants of that fold.

    Attributes:
        model: of the clusters, numbered as in the clustering of all participants.
        points: `(M, D)` of the fold.
        labels: `(M,)` their most probable clusters.
    """

    model: Discriminant
    points: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class CrossFit:
    """Every fold in turn.

    Attributes:
        folds: those that were clustered; fewer than there are if it was given up.
        stability: `(n_folds,)`, or those that were looked at, Jaccard index of the cluster of all participants that came back worst; 0 without a clustering.
    """

    folds: list[HeldOut]
    stability: np.ndarray

    def gaps(self, pairs: list[tuple[int, int]]) -> list[Gap | None]:
        """Of each pair of clusters, along the discriminant direction of the folds that the participants are not in."""
        return [self._gap(*pair) for pair in pairs]

    def positions(self, first: int, second: int) -> tuple[np.ndarray, np.ndarray]:
        """Participants of two clusters along the line from mean (0) to mean (1), `(M,)`, and who is of the second, `(M,)`."""
        places, sides = [], []
        for fold in self.folds:
            start = fold.model.centres[first]
            line = fold.model.precision @ (fold.model.centres[second] - start)
            line /= (fold.model.centres[second] - start) @ line
            rows = np.isin(fold.labels, [first, second])
            places.append((fold.points[rows] - start) @ line)
            sides.append(fold.labels[rows] == second)
        return np.concatenate(places), np.concatenate(sides)

    def _gap(self, first: int, second: int) -> Gap | None:
        return gap(*self.positions(first, second))


def cross_fit(
    points: np.ndarray, labels: np.ndarray, fold_of: np.ndarray, clusterer: Clusterer, least_stability: float = 0.0
) -> CrossFit:
    """Cluster all but one fold, for each fold in turn.

    Args:
        points: `(N, D)`.
        labels: `(N,)` of all participants, 0 .. K-1.
        fold_of: `(N,)` folds 0 .. F-1 of whole families.
        clusterer: as every participant was clustered.
        least_stability: gives up as soon as the mean stability cannot reach it.
    """
    n_folds, n_clusters = int(fold_of.max()) + 1, int(labels.max()) + 1
    stability, folds = np.zeros(n_folds), []
    for number in range(n_folds):
        seen = fold_of != number
        # a cluster whose participants are all of this fold cannot come back
        found = clusterer(points[seen]) if len(set(labels[seen])) == n_clusters else None
        if found is not None and found.max() >= n_clusters - 1:
            stability[number] = best_jaccard(labels[seen], found, n_clusters).min()
            model = Discriminant.fit(points[seen], renumbered(found, labels[seen]))
            held_out = points[~seen]
            folds.append(HeldOut(model, held_out, model.assign(held_out)))
        if stability.sum() + n_folds - number - 1 < least_stability * n_folds:
            return CrossFit(folds, stability[: number + 1])
    return CrossFit(folds, stability)


def renumbered(found: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Clusters under the numbers of the clusters of `labels` that they share most participants with, one to one.

    There are as many of them as of `labels`, or more; those that are left over join the one that most of their participants are of.
    """
    table = np.zeros((found.max() + 1, labels.max() + 1))
    np.add.at(table, (found, labels), 1)
    number_of = table.argmax(axis=1)
    rows, columns = linear_sum_assignment(-table)
    number_of[rows] = columns
    return number_of[found]
