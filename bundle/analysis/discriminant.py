"""Clusters as a discriminant model: a mean and a share each, and one covariance within all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.covariance import ledoit_wolf

ROUNDS = 50
N_STARTS = 3
FEWEST = 3
"""Participants in a cluster, for its mean to be worth anything."""


@dataclass(frozen=True)
class Discriminant:
    """Linear discriminant analysis of clusters.

    Attributes:
        centres: `(K, D)` means.
        precision: `(D, D)` inverse of the pooled, shrunk covariance within clusters.
        shares: `(K,)` of participants; sum to 1.

    Source: Ledoit and Wolf (2004), J. Multivariate Analysis 88, 365-411, for the shrinkage.
    """

    centres: np.ndarray
    precision: np.ndarray
    shares: np.ndarray

    @classmethod
    def fit(cls, points: np.ndarray, labels: np.ndarray) -> Discriminant:
        """From points `(N, D)` and labels `(N,)` 0 .. K-1, each of which a participant has."""
        sizes = np.bincount(labels)
        sums = np.zeros((len(sizes), points.shape[1]))
        np.add.at(sums, labels, points)
        centres = sums / sizes[:, None]
        within = ledoit_wolf(points - centres[labels], assume_centered=True)[0]
        return cls(centres, np.linalg.pinv(within, hermitian=True), sizes / len(points))

    def assign(self, points: np.ndarray) -> np.ndarray:
        """The most probable cluster of each of `(N, D)` points, `(N,)`."""
        return most_probable(points, self.centres, self.precision, self.shares)

    def neighbours(self) -> list[tuple[int, int]]:
        """Pairs of clusters without a third one between them: no mean in the ball whose diameter joins theirs.

        Source: Gabriel and Sokal (1969), Systematic Zoology 18, 259-278; the graph is connected.
        """
        apart = self.centres[:, None] - self.centres[None]
        squared = np.einsum("abd,de,abe->ab", apart, self.precision, apart)
        numbers = range(len(self.centres))
        return [
            (a, b)
            for a in numbers
            for b in numbers[a + 1 :]
            if all(squared[a, c] + squared[c, b] > squared[a, b] for c in numbers if c not in (a, b))
        ]


def most_probable(points: np.ndarray, centres: np.ndarray, precision: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Of Gaussian clusters with one covariance, the most probable for each point.

    Args:
        points: `(N, D)`.
        centres: `(K, D)`.
        precision: `(D, D)`.
        shares: `(K,)`, above 0.

    Returns:
        `(N,)` numbers 0 .. K-1.
    """
    weighted = centres @ precision
    constants = np.log(shares) - np.einsum("kd,kd->k", weighted, centres) / 2
    return (points @ weighted.T + constants).argmax(axis=1)


def refine(points: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
    """Fit a discriminant and assign participants anew until no participant moves: `(N,)`; None if a cluster runs out of participants.

    K-means wants clusters of one size and of one spread in all directions; this follows their shares and covariance.

    Source: classification EM of a mixture with one covariance (Celeux and Govaert 1992, CSDA 14, 315-332).
    """
    n_clusters = labels.max() + 1
    for _ in range(ROUNDS):
        if np.bincount(labels, minlength=n_clusters).min() < FEWEST:
            return None
        moved = Discriminant.fit(points, labels).assign(points)
        if np.array_equal(moved, labels):
            return labels
        labels = moved
    return labels if np.bincount(labels, minlength=n_clusters).min() >= FEWEST else None


def cluster(points: np.ndarray, n_clusters: int, seed: int) -> np.ndarray | None:
    """K-means, refined: labels `(N,)`; None if there are no such clusters.

    Args:
        points: `(N, D)`.
        n_clusters: two or more.
        seed: of the starts of k-means.
    """
    if len(points) < FEWEST * n_clusters:
        return None
    labels = KMeans(n_clusters, n_init=N_STARTS, random_state=seed).fit_predict(points)
    return refine(points, labels.astype(int))
