"""Affinity propagation at one preference after another, each until it converges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from bundle.analysis.affinity_propagation import Clustering, affinity_propagation
from bundle.analysis.choice_settings import MEDIAN, SCAN, ChoiceSettings
from bundle.analysis.preference_range import median_similarity, preference_range

GPU_FROM = 3000


@dataclass(frozen=True)
class Scanned:
    """One preference, the damping that was used and what affinity propagation found."""

    preference: float
    damping: float
    clustering: Clustering


def scan_preferences(points: np.ndarray, settings: ChoiceSettings) -> Iterator[Scanned]:
    """Cluster at each preference of the whole range, from the lowest up."""
    for preference in _preferences(points, settings):
        yield cluster_until_converged(points, preference, settings)


def _preferences(points: np.ndarray, settings: ChoiceSettings) -> np.ndarray:
    if settings.preference == MEDIAN:
        return np.array([median_similarity(points)])
    if settings.preference != SCAN:
        return np.array([float(settings.preference)])
    low, high = preference_range(points)
    # identical people would put the upper end at 0, where no geometric scale ends
    return -np.geomspace(-low, max(-high, -1e-4 * low), settings.n_preferences)


def cluster_until_converged(
    points: np.ndarray, preference: float, settings: ChoiceSettings, progress: bool = False
) -> Scanned:
    """Affinity propagation with each damping in turn until one converges; the last one's result if none does."""
    for damping in settings.dampings:
        clustering = affinity_propagation(
            points, preference, damping, settings.max_iterations, device=_device(len(points)), progress=progress
        )
        if clustering.converged:
            break
    return Scanned(preference, damping, clustering)


def cluster_subsample(points: np.ndarray, rows: np.ndarray, like: Scanned, settings: ChoiceSettings) -> Clustering:
    """Cluster some of the people at a preference that weighs an exemplar against as many fewer members."""
    preference = like.preference * len(rows) / len(points)
    return cluster_until_converged(points[rows], preference, settings).clustering


def _device(n_points: int) -> str:
    """The GPU for large problems; launching kernels costs more than small ones take."""
    return "cuda" if n_points > GPU_FROM and torch.cuda.is_available() else "cpu"
