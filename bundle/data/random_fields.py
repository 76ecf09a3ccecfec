"""Gaussian random fields of a given spectrum: white noise, filtered in Fourier space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.fft

FWHM_PER_SIGMA = 2.354820045
AXES = (1, 2, 3)


def smooth_random_fields(
    rng: np.random.Generator, count: int, spatial_shape: Sequence[int], fwhm_voxels: float
) -> np.ndarray:
    """Independent fields of unit variance, `(count, D, H, W)` float32, smoothed by a Gaussian of that FWHM.

    Fields wrap around the box.
    """
    noise = rng.standard_normal((count, *spatial_shape), dtype=np.float32)
    return filter_noise(noise, unit_variance(gaussian_filter(spatial_shape, fwhm_voxels)))


def filter_noise(noise: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """White noise `(N, D, H, W)` float32, its frequencies multiplied by `gains` `(D, H, W)`."""
    half = gains[..., : gains.shape[-1] // 2 + 1].astype(np.float32)
    return scipy.fft.irfftn(scipy.fft.rfftn(noise, axes=AXES) * half, s=gains.shape, axes=AXES)


def gaussian_filter(spatial_shape: Sequence[int], fwhm_voxels: float) -> np.ndarray:
    """Gains `(D, H, W)` of a Gaussian of that FWHM; 1 at frequency 0."""
    return np.exp(-2 * np.square(np.pi * fwhm_voxels / FWHM_PER_SIGMA) * squared_frequencies(spatial_shape))


def matern_filter(spatial_shape: Sequence[int], scale_voxels: float, exponent: float) -> np.ndarray:
    """Gains of a field whose power falls as wavelength to the power of `exponent` below `scale_voxels`, flat above.

    This is the Matern covariance of smoothness (exponent - 3) / 2. The mean of the box is regressed out.

    Args:
        spatial_shape: `(D, H, W)`.
        scale_voxels: wavelength.
        exponent: above 3 for fields that are continuous however fine the grid.

    Returns:
        `(D, H, W)`.
    """
    gains = (1 + np.square(scale_voxels) * squared_frequencies(spatial_shape)) ** (-exponent / 4)
    gains[0, 0, 0] = 0
    return gains


def unit_variance(gains: np.ndarray) -> np.ndarray:
    """Gains scaled so that white noise of unit variance stays at it, by Parseval."""
    return gains / np.sqrt(np.square(gains).mean())


def squared_frequencies(spatial_shape: Sequence[int]) -> np.ndarray:
    """In cycles per voxel, `(D, H, W)`, in the order of a discrete Fourier transform."""
    x, y, z = (np.square(np.fft.fftfreq(size)) for size in spatial_shape)
    return x[:, None, None] + y[:, None] + z
