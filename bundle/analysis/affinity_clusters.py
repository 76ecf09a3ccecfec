"""Affinity propagation at one preference until it converges: how the paper clusters."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.distance import pdist

from bundle.analysis.affinity_propagation import affinity_propagation
from bundle.analysis.choice_settings import MEDIAN, ChoiceSettings

GPU_FROM = 3000
"""Participants; launching kernels costs more than small problems take."""


def affinity_labels(points: np.ndarray, preference: float, settings: ChoiceSettings) -> np.ndarray | None:
    """Clusters with the first damping that converges: `(N,)` labels 0 .. K-1; None if none does.

    Args:
        points: `(N, D)`.
        preference: negative.
        settings: gives dampings and iterations.
    """
    device = "cuda" if len(points) > GPU_FROM and torch.cuda.is_available() else "cpu"
    for damping in settings.dampings:
        found = affinity_propagation(points, preference, damping, settings.max_iterations, device=device)
        if found.converged:
            return found.labels
    return None


def preference_of(points: np.ndarray, settings: ChoiceSettings) -> float:
    """The number that the settings name, or the median similarity of `(N, D)` points."""
    return median_similarity(points) if settings.preference == MEDIAN else float(settings.preference or 0)


def median_similarity(points: np.ndarray) -> float:
    """Median of minus the squared distances of different participants, from at most 2000 of them."""
    few = points[:: -(-len(points) // 2000)]
    return -float(np.median(pdist(few, "sqeuclidean")))
