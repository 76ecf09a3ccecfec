"""What a partition is worth: stability of each stratum, other methods' answers, hubs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import skew
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.metrics import adjusted_mutual_info_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors


def best_jaccard(labels: np.ndarray, found: np.ndarray, n_strata: int) -> np.ndarray:
    """For each stratum, the Jaccard index with the most similar cluster: `(K,)`; NaN if no participant of it is there.

    Args:
        labels: `(N,)` strata 0 .. K-1.
        found: `(N,)` clusters of the same participants.
        n_strata: K.

    Source: Hennig (2007), Computational Statistics and Data Analysis 52, 258-271.
    """
    table = np.zeros((n_strata, found.max() + 1))
    np.add.at(table, (labels, found), 1)
    sizes = table.sum(axis=1, keepdims=True)
    union = sizes + table.sum(axis=0) - table
    best = (table / np.maximum(union, 1)).max(axis=1)
    return np.where(sizes[:, 0] > 0, best, np.nan)


def hubness(points: np.ndarray) -> float:
    """Skewness of how often each point is among the ten nearest of others; above 1, hubs dominate neighbourhoods.

    Source: Radovanovic, Nanopoulos and Ivanovic (2010), JMLR 11, 2487-2531.
    """
    n_neighbours = min(10, len(points) - 1)
    neighbours = NearestNeighbors(n_neighbors=n_neighbours).fit(points).kneighbors(return_distance=False)
    return float(skew(np.bincount(neighbours.ravel(), minlength=len(points))))


def other_partitions(points: np.ndarray, labels: np.ndarray, max_clusters: int, seed: int) -> pd.DataFrame:
    """What other methods make of the same points, and how far they agree with the strata.

    Args:
        points: `(N, D)`.
        labels: `(N,)` strata.
        max_clusters: that the Gaussian mixture may choose by BIC.
        seed: of k-means and the mixture.

    Returns:
        Rows `k-means` (as many clusters as strata), `Gaussian mixture (BIC)` and `HDBSCAN`, with the number of
        clusters, the share of participants left out as noise and the adjusted mutual information with the strata.
    """
    n_strata = len(set(labels))
    smallest = max(5, len(points) // 20)
    found = {
        "k-means": KMeans(n_clusters=n_strata, n_init=10, random_state=seed).fit_predict(points),
        "Gaussian mixture (BIC)": mixture_by_bic(points, max_clusters, seed).predict(points),
        "HDBSCAN": HDBSCAN(min_cluster_size=smallest, copy=True).fit_predict(points),
    }
    rows = []
    for method, other in found.items():
        rows.append(
            {
                "method": method,
                "n_clusters": len(set(other[other >= 0])),
                "share_noise": float((other < 0).mean()),
                "ami": float(adjusted_mutual_info_score(labels, other)),
            }
        )
    return pd.DataFrame(rows)


def mixture_by_bic(points: np.ndarray, max_clusters: int, seed: int) -> GaussianMixture:
    """The mixture of 1 to `max_clusters` Gaussians (full or diagonal covariance) with the least BIC."""
    most = max(1, min(max_clusters, len(points) // 5))
    fits = [
        GaussianMixture(k, covariance_type=kind, n_init=2, reg_covar=1e-6 * points.var(), random_state=seed).fit(points)
        for kind in ("diag", "full")
        for k in range(1, most + 1)
    ]
    return min(fits, key=lambda mixture: mixture.bic(points))


def pairwise_ami(partitions: Sequence[np.ndarray]) -> np.ndarray:
    """Adjusted mutual information of every two partitions of the same participants, `(P, P)`."""
    return np.array([[adjusted_mutual_info_score(a, b) for b in partitions] for a in partitions])
