"""One partition from those of several encoders; embeddings of different encoders are never pooled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import orthogonal_procrustes
from sklearn.cluster import AgglomerativeClustering


def co_assignment(partitions: Sequence[np.ndarray]) -> np.ndarray:
    """Share of partitions that put two participants together, `(N, N)`."""
    return np.mean([labels[:, None] == labels[None] for labels in partitions], axis=0)


def consensus_partition(partitions: Sequence[np.ndarray], n_clusters: int) -> np.ndarray:
    """Average linkage on 1 - co-assignment, cut at `n_clusters`: `(N,)` labels.

    Source: Monti et al. (2003), Machine Learning 52, 91-118; Strehl and Ghosh (2002), JMLR 3, 583-617.
    """
    model = AgglomerativeClustering(n_clusters=n_clusters, metric="precomputed", linkage="average")
    return model.fit_predict(1 - co_assignment(partitions))


def align(points: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Rotate, mirror and scale a picture of participants onto another one of the same participants (orthogonal Procrustes).

    For pictures only: distances between encoders mean nothing.

    Args:
        points: `(N, D)`.
        reference: `(N, D)`.
    """
    centre = reference.mean(axis=0)
    moved = points - points.mean(axis=0)
    rotation, scale = orthogonal_procrustes(moved, reference - centre)
    return moved @ rotation * (scale / np.square(moved).sum()) + centre
