"""What a careful participant looks at in an image and in a cohort of images, as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from bundle.analysis.shown_modality import fine_detail

SMALL_GRID = (24, 28, 24)
"""Images are compared on this grid, whatever their own is."""
THUMBNAIL = 72
"""Pixels of a thumbnail's longer side."""
MOST_COMPARED = 500
"""Images that the cohort's median image is made of, at most."""
LARGE = 500_000
"""Voxels above which every second one, along each axis, stands for its neighbours in all but shares and pictures."""


@dataclass(frozen=True)
class ImageMeasures:
    """One image by itself.

    Attributes:
        mean, spread: mean and standard deviation in the mask, own units.
        top: the 99th percentile in the mask.
        negative: voxels below 0, as a share of the mask's; at most 1, since some may be outside the mask.
        outside_unit: the same of voxels outside [0, 1], by more than 0.001.
        small: `SMALL_GRID` float16, z-scored.
        small_mask: `SMALL_GRID` bool.
        slices: three uint8 pictures through the middle: sagittal, coronal, axial.
        window: (lowest, highest) value of the pictures, own units.
    """

    mean: float
    spread: float
    top: float
    negative: float
    outside_unit: float
    small: np.ndarray
    small_mask: np.ndarray
    slices: tuple[np.ndarray, ...]
    window: tuple[float, float]


def measure_image(voxels: np.ndarray) -> ImageMeasures:
    """Measures of one image.

    The mask is where values differ from the image's border by more than a twentieth of its range: the head, or the brain
    if the image is masked, and nearly everything in a Jacobian.

    Args:
        voxels: `(D, H, W)` in RAS orientation, finite.
    """
    whole = np.asarray(voxels, dtype=np.float32)
    negative, outside = _shares(whole)
    thinned = slice(None, None, 2 if whole.size > LARGE else 1)
    volume = np.ascontiguousarray(whole[thinned, thinned, thinned])
    background = np.median(np.concatenate([volume[[0, -1]].ravel(), volume[:, [0, -1]].ravel(), volume[:, :, [0, -1]].ravel()]))  # fmt: skip
    off = np.abs(volume - background)
    sample = off.ravel()[:: max(1, off.size // 200_000)]
    reach = np.percentile(sample[sample > 0], 99) if (sample > 0).any() else 0.0
    mask = off > 0.05 * reach
    inside = volume[mask] if mask.any() else volume.ravel()
    low, high = np.percentile(volume.ravel()[:: max(1, volume.size // 200_000)], [0.5, 99.8])
    small = _pooled(volume)
    share = max(float(mask.mean()), 1e-12)
    return ImageMeasures(
        float(inside.mean(dtype=np.float64)),
        float(inside.std(dtype=np.float64)),
        float(np.percentile(inside[:: max(1, inside.size // 200_000)], 99)),
        min(negative / share, 1.0),
        min(outside / share, 1.0),
        ((small - small.mean()) / max(float(small.std()), 1e-12)).astype(np.float16),
        _pooled(mask.astype(np.float32)) > 0.5,
        _slices(whole, float(low), max(float(high), float(low) + 1e-6)),
        (float(low), max(float(high), float(low) + 1e-6)),
    )


def _shares(volume: np.ndarray) -> tuple[float, float]:
    """Of all voxels: below 0, and outside [0, 1]."""
    forwards = tuple(slice(None, None, -1 if stride < 0 else 1) for stride in volume.strides)
    volume = volume[forwards]  # several times faster than against the order in memory
    lowest, highest = volume.min(), volume.max()
    below = np.count_nonzero(volume < -1e-3) if lowest < -1e-3 else 0
    above = np.count_nonzero(volume > 1 + 1e-3) if highest > 1 + 1e-3 else 0
    negative = np.count_nonzero(volume < 0) if lowest < 0 else 0
    return negative / volume.size, (below + above) / volume.size


def _pooled(volume: np.ndarray) -> np.ndarray:
    return F.adaptive_avg_pool3d(torch.from_numpy(volume)[None, None], SMALL_GRID)[0, 0].numpy()


def _slices(volume: np.ndarray, low: float, high: float) -> tuple[np.ndarray, ...]:
    """Mid-slices as participants look at them: front or top up, the participant's right at the right."""
    pictures: list[np.ndarray] = []
    for axis, size in enumerate(volume.shape):
        plane = np.flipud(np.moveaxis(volume, axis, 0)[size // 2].T)
        step = max(1, max(plane.shape) // THUMBNAIL)
        pictures.append((255 * np.clip((plane[::step, ::step] - low) / (high - low), 0, 1)).astype(np.uint8))
    return tuple(pictures)


@dataclass(frozen=True)
class CohortMeasures:
    """The images of one map, compared with each other: N numbers each.

    Attributes:
        correlation: with the cohort's median image, in the cohort's mask.
        overlap: Dice coefficient of the image's and the cohort's mask.
        asymmetry: correlation of left minus right with that of the median image; below 0, the image fits the cohort better
            when it is mirrored.
        mirrored: correlation with the median image once the image is mirrored.
        detail: `(V,)`, the median of the images' fine detail.
    """

    correlation: np.ndarray
    overlap: np.ndarray
    asymmetry: np.ndarray
    mirrored: np.ndarray
    detail: np.ndarray


def compare_images(small: np.ndarray, masks: np.ndarray) -> CohortMeasures:
    """Compare the images of one map.

    Args:
        small: `(N, *SMALL_GRID)`, z-scored.
        masks: `(N, *SMALL_GRID)`, bool.
    """
    chosen = np.unique(np.linspace(0, len(small) - 1, min(len(small), MOST_COMPARED)).round().astype(int))
    median = np.median(small[chosen].astype(np.float32), axis=0)
    mask = masks[chosen].mean(axis=0) >= 0.5
    where = mask if mask.any() else np.ones_like(mask)
    both = where | where[::-1]
    overlap = [
        2 * np.count_nonzero(own & mask) / max(1, np.count_nonzero(own) + np.count_nonzero(mask)) for own in masks
    ]
    return CohortMeasures(
        _correlations(small, median, where),
        np.array(overlap),
        np.array([_correlation((x - x[::-1])[both], (median - median[::-1])[both]) for x in small.astype(np.float32)]),
        _correlations(small[:, ::-1], median, where),
        np.median(fine_detail(small[chosen]), axis=0),
    )


def _correlations(small: np.ndarray, image: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Correlation of each of N images with one image inside a mask."""
    return np.array([_correlation(x[where].astype(np.float32), image[where]) for x in small])


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    first, second = first - first.mean(), second - second.mean()
    length = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / length if length > 0 else 0.0


def robust_z(values: np.ndarray, least_spread: float) -> np.ndarray:
    """Distance from the median in robust standard deviations, 1.4826 x the median absolute deviation.

    Args:
        values: N numbers.
        least_spread: standard deviation that is assumed at least, so that a cohort of equals has no outliers by rounding.
    """
    middle = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - middle))
    return (values - middle) / max(float(spread), least_spread)
