"""Partitions of everybody: carried over from the few that the choice was made on, or a single stratum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bundle.analysis.affinity_propagation import Clustering
from bundle.analysis.cluster_choice import Candidate
from bundle.analysis.family_draws import family_subsamples
from bundle.analysis.preference_scan import cluster_until_converged
from bundle.analysis.strata_settings import StrataSettings
from bundle.analysis.stratum_distances import nearest_exemplar


def rows_for_choice(family_of: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Rows of everybody, or of random whole families that make up about `size` people."""
    if len(family_of) <= size:
        return np.arange(len(family_of))
    return next(family_subsamples(family_of, 1, size / len(family_of), seed))


def one_stratum(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and exemplar when there are no strata: everybody, and the person nearest to the middle."""
    middle = int(np.square(points - points.mean(axis=0)).sum(axis=1).argmin())
    return np.zeros(len(points), dtype=int), np.array([middle])


def join_nearest(points: np.ndarray, few: np.ndarray, clustering: Clustering) -> tuple[np.ndarray, np.ndarray]:
    """Everybody to the nearest exemplar of a clustering of few: labels and exemplars, largest cluster first."""
    exemplars = few[clustering.exemplars]
    labels = nearest_exemplar(points, points[exemplars])
    labels[few] = clustering.labels
    return by_size(labels, exemplars)


def cluster_everybody(
    points: np.ndarray,
    few: np.ndarray,
    chosen: Candidate,
    settings: StrataSettings,
    show_progress: bool,
    notes: list[str],
) -> tuple[np.ndarray, np.ndarray]:
    """Cluster everybody as few were: labels and exemplars, largest cluster first.

    Args:
        points: `(N, D)`.
        few: rows that the choice was made on.
        chosen: on them; everybody joins the nearest of its exemplars if clustering all gives another number of clusters.
        settings: of the search.
        show_progress: show a bar.
        notes: gets a sentence in that case.
    """
    preference = chosen.scanned.preference * len(points) / len(few)
    clustering = cluster_until_converged(points, preference, settings.choice, show_progress).clustering
    if clustering.converged and clustering.n_clusters == chosen.n_clusters:
        return by_size(clustering.labels, clustering.exemplars)
    found = f"gave {clustering.n_clusters} clusters" if clustering.converged else "did not converge"
    notes.append(
        f"Affinity propagation of all {len(points)} people {found}, so everybody joined the nearest of the "
        f"{chosen.n_clusters} exemplars that were chosen on {len(few)} people."
    )
    return join_nearest(points, few, chosen.scanned.clustering)


def match_to_strata(labels: np.ndarray, found: np.ndarray, n_found: int, n_strata: int) -> np.ndarray:
    """The stratum that most members of each found cluster are of, `(n_found,)`.

    Args:
        labels: `(N,)` strata.
        found: `(N,)` clusters of the same people.
        n_found: number of clusters.
        n_strata: number of strata.
    """
    table = np.zeros((n_found, n_strata))
    np.add.at(table, (found, labels), 1)
    return table.argmax(axis=1)


def by_size(labels: np.ndarray, exemplars: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number clusters from the largest to the smallest; ties keep their order."""
    order = np.argsort(-np.bincount(labels, minlength=len(exemplars)), kind="stable")
    rank = np.empty(len(order), dtype=int)
    rank[order] = np.arange(len(order))
    return rank[labels], np.asarray(exemplars)[order]
