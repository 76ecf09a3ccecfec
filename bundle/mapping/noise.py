"""Noise of magnitude images: how large it is, and the floor under which no mean signal falls."""

from __future__ import annotations

import numpy as np
from scipy.special import i0e, i1e

CHI2_MEDIAN_DEGREES = 2 / 9
VOXELS_AT_ONCE = 50_000


def rician_mean(signal: np.ndarray, noise_sd: float) -> np.ndarray:
    """Mean magnitude of a signal with Gaussian noise of that standard deviation in its real and imaginary part.

    Source: Rice (1944); written with scaled Bessel functions, so that it holds at any signal-to-noise ratio.
    """
    z = (signal / noise_sd) ** 2 / 4
    return noise_sd * np.sqrt(np.pi / 2) * ((1 + 2 * z) * i0e(z) + 2 * z * i1e(z))


def noise_sd_of(signals: np.ndarray, directions: np.ndarray, degree: int = 4) -> float:
    """Standard deviation of the noise, from what smooth functions of the direction leave of one shell.

    Take a shell with weak weighting, where the noise is as good as Gaussian.

    Args:
        signals: `(V, N)` of one shell.
        directions: `(N, 3)` unit vectors; more than `(degree + 1) (degree + 2) / 2`, which is 15.
        degree: of the polynomials, even.

    Returns:
        The median over voxels, in the units of the signals.

    Raises:
        ValueError: with too few directions.
    """
    x, y, z = directions.T
    powers = [(i, j, degree - i - j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    basis = np.stack([x**i * y**j * z**k for i, j, k in powers], axis=1)  # on the sphere, all even degrees up to this
    left_over = len(directions) - basis.shape[1]
    if left_over < 1:
        raise ValueError(f"Expected more than {basis.shape[1]} directions in the shell, got {len(directions)}.")
    complement = np.linalg.qr(basis, mode="complete")[0][:, basis.shape[1] :]
    parts = range(0, len(signals), VOXELS_AT_ONCE)
    squares = np.concatenate([((signals[i : i + VOXELS_AT_ONCE] @ complement) ** 2).sum(axis=1) for i in parts])
    expected_median = left_over * (1 - CHI2_MEDIAN_DEGREES / left_over) ** 3  # Wilson and Hilferty's chi-squared median
    return float(np.sqrt(np.median(squares) / expected_median))
