"""Watson-NODDI voxels by summing over many sticks, with nothing of the embedding under test."""

from __future__ import annotations

import numpy as np

from bundle.mapping.gradients import Gradients


def spread(count: int) -> np.ndarray:
    """`(count, 3)` unit vectors spread evenly over the sphere."""
    turns = np.arange(count) + 0.5
    height, angle = 1 - 2 * turns / count, np.pi * (1 + 5**0.5) * turns
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)


def scheme(*shells: tuple[int, float]) -> Gradients:
    """(volumes, b-value) of each shell; directions over half a sphere, other ones in each."""
    rng = np.random.default_rng(5)
    b_values, directions = [], []
    for count, b_value in shells:
        turned = spread(2 * count)[:count] @ np.linalg.qr(rng.standard_normal((3, 3)))[0]
        directions.append(turned if b_value else 0 * turned)
        b_values += [float(b_value)] * count
    return Gradients(np.array(b_values), np.concatenate(directions))


def noise_free(gradients: Gradients, ndi, odi, free_water, fibres, n_sticks: int = 724) -> np.ndarray:
    """`(V, N)` signals, 1 without weighting, of voxels with `(V,)` fractions and `(V, 3)` mean directions."""
    b, g = gradients.b_values, gradients.directions
    sticks = spread(n_sticks)
    squared = (sticks @ g.T) ** 2
    signals = np.empty((len(ndi), len(b)))
    for start in range(0, len(ndi), 1000):
        some = slice(start, start + 1000)
        v, free = ndi[some, None], free_water[some, None]
        weights = np.exp((1 / np.tan(np.pi / 2 * odi[some]))[:, None] * ((fibres[some] @ sticks.T) ** 2 - 1))
        weights /= weights.sum(axis=1, keepdims=True)
        inside = weights @ np.exp(-b * 1.7e-3 * squared)
        across = 1.7e-3 * (1 - v)
        lengths = (g**2).sum(axis=1)
        outside = np.exp(-b * ((1.7e-3 - across) * (weights @ squared) + across * lengths))
        signals[some] = (1 - free) * (v * inside + (1 - v) * outside) + free * np.exp(-b * 3e-3)
    return signals


def random_voxels(count: int, seed: int = 0):
    """NDI, ODI, free water and directions of voxels like brain tissue."""
    rng = np.random.default_rng(seed)
    fibres = rng.standard_normal((count, 3))
    fibres /= np.linalg.norm(fibres, axis=1, keepdims=True)
    return rng.uniform(0.3, 0.8, count), rng.uniform(0.05, 0.6, count), rng.uniform(0, 0.3, count), fibres


def with_rician_noise(signals: np.ndarray, snr: float, seed: int = 1) -> np.ndarray:
    real, imaginary = np.random.default_rng(seed).standard_normal((2, *signals.shape)) / snr
    return 1000 * np.hypot(signals + real, imaginary)
