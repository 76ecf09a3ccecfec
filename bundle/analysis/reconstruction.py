"""What a reconstruction is worth: R², the PCA baseline, and whether it shows the participant it should.

All functions take residuals: `(N, M, V)` arrays of (image - training mean image) / scale at the V brain voxels of N
participants and M modalities. The mean image is then 0, so predicting it scores an R² of 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np


def r2(residuals: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """`1 - sum (r - r_hat)^2 / sum r^2` over participants and voxels, `(M,)`: 1 perfect, 0 the mean image."""
    error = np.square(residuals - predicted).sum(axis=(0, 2), dtype=np.float64)
    return 1 - error / np.square(residuals).sum(axis=(0, 2), dtype=np.float64)


def r2_per_person(residuals: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """As `r2`, for each participant alone: `(N, M)`."""
    error = np.square(residuals - predicted).sum(axis=2, dtype=np.float64)
    return 1 - error / np.square(residuals).sum(axis=2, dtype=np.float64)


def pca_r2(training: np.ndarray, held_out: np.ndarray, max_components: int = 1536) -> np.ndarray:
    """R² of principal component analysis on held-out participants for 1, 2, ... components.

    Args:
        training: `(N, V)` residuals of one modality (or several, side by side), of the training participants.
        held_out: `(N', V)`.
        max_components: at most this many; never more than N - 1 (the mean takes one).

    Returns:
        `(K,)`, entry k - 1 for k components.
    """
    explained, left_by_centre, total = _explained_by_components(training, held_out, max_components)
    return 1 - (left_by_centre.sum() - np.cumsum(explained.sum(axis=0))) / total.sum()


def pca_errors(training: np.ndarray, held_out: np.ndarray, n_components: int) -> np.ndarray:
    """Sum of squared errors over voxels that PCA leaves in each held-out participant, `(N',)`; arguments as `pca_r2`."""
    explained, left_by_centre, _ = _explained_by_components(training, held_out, n_components)
    return left_by_centre - explained.sum(axis=1)


def _explained_by_components(
    training: np.ndarray, held_out: np.ndarray, max_components: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per held-out participant: squares explained by each component `(N', K)`, left by the centre alone, and in all."""
    if len(training) < 2:
        raise ValueError(f"PCA needs at least two training participants, got {len(training)}.")
    centre = training.mean(axis=0)
    centred = (training - centre).astype(np.float64)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    n_components = min(max_components, len(training) - 1)
    order = np.argsort(values)[::-1][:n_components]
    order = order[values[order] > 1e-10 * values.max()]
    # rows of V' = (U / S)' A: components in voxel space are never formed
    scores = (held_out - centre) @ centred.T @ (vectors[:, order] / np.sqrt(values[order]))
    total = np.square(held_out, dtype=np.float64).sum(axis=1)
    left_by_centre = np.square(held_out - centre, dtype=np.float64).sum(axis=1)
    return np.square(scores), left_by_centre, total


def identifiability(residuals: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """For each participant, is the own image the nearest of all images to the reconstruction? `(N,)` booleans.

    Distance is the sum of squares over modalities and voxels.
    """
    images = residuals.reshape(len(residuals), -1).astype(np.float64)
    drawn = predicted.reshape(len(predicted), -1).astype(np.float64)
    distances = np.square(images).sum(axis=1)[None, :] - 2 * drawn @ images.T  # up to a term constant in each row
    return distances.argmin(axis=1) == np.arange(len(images))


def swap_partners(family_ids: Sequence[str]) -> np.ndarray:
    """For each participant the row of a participant of another family: `(N,)`.

    Each participant is used once, unless one family is more than half of all.

    Raises:
        ValueError: if all are of one family.
    """
    families = np.asarray(family_ids)
    if len(set(families)) < 2:
        raise ValueError("Swapping embeddings needs participants of at least two families.")
    order = np.argsort(families, kind="stable")
    largest = max(Counter(families.tolist()).values())
    partners = np.empty(len(families), dtype=int)
    # in family order, a step as long as the largest family leaves every family
    partners[order] = np.roll(order, -largest)
    for row in np.flatnonzero(families[partners] == families):
        partners[row] = np.flatnonzero(families != families[row])[0]
    return partners
