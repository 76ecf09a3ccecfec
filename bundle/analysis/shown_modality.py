"""Which modality an image shows: the one to whose median image its fine detail is nearest."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.ndimage import gaussian_filter

CLEARLY = 4.0
"""Robust standard deviations by which an image must stand out from those under the same name."""
AT_ONCE = 64


def fine_detail(small: np.ndarray) -> np.ndarray:
    """What is finer than a voxel of the small grid, the same for an image and its mirror image.

    Bias fields, brightness, contrast of scanners and the broad differences between brains fall away; edges of tissues, which
    differ between modalities and lie in the same place in all participants, remain.

    Args:
        small: `(N, W, H, D)`, left to right first.

    Returns:
        `(N, V)`, float32 of length 1; of length 0 for an image without any.
    """
    both = small.astype(np.float32) + small[:, ::-1]
    fine = (both - gaussian_filter(both, 1.0, axes=(1, 2, 3)))[:, : (small.shape[1] + 1) // 2].reshape(len(small), -1)
    length = np.linalg.norm(fine, axis=1, keepdims=True)
    return fine / np.maximum(length, 1e-6)


def shown_instead(modality: str, small: np.ndarray, centres: Mapping[str, np.ndarray]) -> list[str]:
    """For each image the other modality that it shows, or nothing.

    An image shows another modality if its fine detail is nearer to that modality's centre than to any other's, its own
    among them, and than to 0, where images lie that are like no participant's (broken, noisy, in another space); and if in this it
    stands out from the images under the same name, as none does where two modalities can hardly be told apart.

    Args:
        modality: under whose name the images are.
        small: `(N, W, H, D)`.
        centres: modality -> `(V,)`, the median of its images' `fine_detail`; `modality` among them.
    """
    names = [modality, *(name for name in centres if name != modality)]
    if len(names) == 1:
        return [""] * len(small)
    middle = np.stack([centres[name] for name in names])
    chunks = [fine_detail(small[start : start + AT_ONCE]) @ middle.T for start in range(0, len(small), AT_ONCE)]
    nearness = 2 * np.concatenate(chunks) - (middle**2).sum(axis=1)  # 1 less the squared distance
    lead = nearness[:, 1:] - nearness[:, :1]
    spread = 1.4826 * np.median(np.abs(lead - np.median(lead, axis=0)), axis=0)
    stands_out = lead - np.median(lead, axis=0) > CLEARLY * spread
    best = np.argmax(lead, axis=1)
    rows = np.arange(len(small))
    is_other = (lead[rows, best] > 0) & (nearness[rows, 1 + best] > 0) & stands_out[rows, best]
    return [names[1 + number] if other else "" for number, other in zip(best, is_other, strict=True)]
