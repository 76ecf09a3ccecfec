"""What a partition is worth: stability of each stratum, other methods' answers, hubs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import binomtest, skew
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.metrics import adjusted_mutual_info_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors


def best_jaccard(labels: np.ndarray, found: np.ndarray, n_strata: int) -> np.ndarray:
    """For each stratum, the Jaccard index with the most similar cluster: `(K,)`; NaN if nobody of it is there.

    Args:
        labels: `(N,)` strata 0 .. K-1.
        found: `(N,)` clusters of the same people.
        n_strata: K.

    Source: Hennig (2007), Computational Statistics and Data Analysis 52, 258-271.
    """
    table = np.zeros((n_strata, found.max() + 1))
    np.add.at(table, (labels, found), 1)
    sizes = table.sum(axis=1, keepdims=True)
    union = sizes + table.sum(axis=0) - table
    best = (table / np.maximum(union, 1)).max(axis=1)
    return np.where(sizes[:, 0] > 0, best, np.nan)


def gaps(points: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Is there a gap between each stratum and the nearest one, or are they parts of a continuum?

    On the line from mean to mean, the middle third of a density with one mode holds no fewer people than both outer
    thirds; fewer than in the emptier outer third is a gap. Which clustering drew the border does not matter to that.

    Args:
        points: `(N, D)`.
        labels: `(N,)` strata 0 .. K-1, two or more.

    Returns:
        Per stratum: `nearest_stratum` 0 .. K-1, people in the `middle` and in the emptier outer third (`flank`).
    """
    centres = np.stack([points[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    rows = []
    for label, centre in enumerate(centres):
        distances = np.linalg.norm(centres - centre, axis=1)
        distances[label] = np.inf
        nearest = int(distances.argmin())
        line = (centres[nearest] - centre) / distances[nearest] ** 2
        along = (points[np.isin(labels, [label, nearest])] - centre) @ line
        left, middle, right = np.histogram(along, bins=[0, 1 / 3, 2 / 3, 1])[0].tolist()
        flank = min(left, right)
        rows.append({"nearest_stratum": nearest, "middle": middle, "flank": flank})
    return pd.DataFrame(rows)


def are_apart(between: pd.DataFrame, significance: float) -> bool:
    """Whether there are gaps: over all pairs together beyond chance, and in every pair. `between` is from `gaps`."""
    return gap_p_value(between) <= significance and not without_gap(between)


def without_gap(table: pd.DataFrame) -> list[tuple[int, int]]:
    """Pairs of strata of `gaps` whose middle third is no emptier than the emptier outer one."""
    rows = table.index[table["middle"] >= table["flank"]]
    return sorted({(min(k, near), max(k, near)) for k, near in table.loc[rows, "nearest_stratum"].items()})


def gap_p_value(table: pd.DataFrame) -> float:
    """One-sided binomial p of all middle thirds of `gaps` together against the emptier outer ones, each pair once."""
    pairs = [(min(k, near), max(k, near)) for k, near in table["nearest_stratum"].items()]
    once = table[~pd.Series(pairs, index=table.index).duplicated()]
    middle, flank = int(once["middle"].sum()), int(once["flank"].sum())
    return float(binomtest(middle, middle + flank, 0.5, "less").pvalue) if middle + flank else 1.0


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
        clusters, the share of people left out as noise and the adjusted mutual information with the strata.
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
    """Adjusted mutual information of every two partitions of the same people, `(P, P)`."""
    return np.array([[adjusted_mutual_info_score(a, b) for b in partitions] for a in partitions])
