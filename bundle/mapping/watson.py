"""The signal of Watson-NODDI: sticks dispersed about a direction, hindered water between them, free water."""

from __future__ import annotations

from functools import cache

import numpy as np

PARALLEL, FREE = 1.7e-3, 3.0e-3
"""Diffusivities in mm^2/s along neurites and of free water, which NODDI holds fixed."""
DEGREE = 14
"""Highest Legendre degree. With `ODI >= 0.02` and `b <= 3200 s/mm^2` signals are exact to 2e-4."""
N_NODES = 48


@cache
def legendre_nodes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes on [0, 1] `(Q,)`, their weights, and even Legendre polynomials there `(DEGREE / 2 + 1, Q)`."""
    nodes, weights = np.polynomial.legendre.leggauss(N_NODES)
    nodes, weights = (nodes + 1) / 2, weights / 2
    return nodes, weights, even_legendre(nodes, DEGREE)


def even_legendre(cosines: np.ndarray, degree: int) -> np.ndarray:
    """`P_0, P_2, ... P_degree`, stacked in front of the cosines' axes."""
    return np.stack([np.polynomial.legendre.Legendre.basis(order)(cosines) for order in range(0, degree + 1, 2)])


def concentration(odi: np.ndarray) -> np.ndarray:
    """Watson's kappa from the orientation dispersion index, which lies between 0 (one direction) and 1 (all alike)."""
    return 1 / np.tan(np.pi / 2 * np.asarray(odi, dtype=float))


def watson_moments(odi: np.ndarray) -> np.ndarray:
    """Expectations of the even Legendre polynomials of the cosine to the mean direction.

    Args:
        odi: `(O,)`.

    Returns:
        `(O, DEGREE / 2 + 1)`.
    """
    nodes, weights, polynomials = legendre_nodes()
    density = np.exp(concentration(odi)[:, None] * (nodes**2 - 1)) * weights
    return (density / density.sum(axis=1, keepdims=True)) @ polynomials.T


def legendre_series(values: np.ndarray) -> np.ndarray:
    """Coefficients of even functions of the cosine: f = sum_k c_k P_2k.

    Args:
        values: `(..., Q)` at `legendre_nodes`.

    Returns:
        `(..., DEGREE / 2 + 1)`.
    """
    _, weights, polynomials = legendre_nodes()
    return values @ (weights * polynomials).T * (2 * np.arange(0, DEGREE + 1, 2) + 1)


def tissue_signals(b_value: float, ndi: np.ndarray, odi: np.ndarray) -> np.ndarray:
    """Signal of tissue at cosines between gradient and mean direction, 1 without diffusion weighting.

    Args:
        b_value: s/mm^2.
        ndi: `(A,)` neurite density, 0 to 1.
        odi: `(A,)` orientation dispersion index, 0 to 1.

    Returns:
        `(A, Q)` at the cosines of `legendre_nodes`.

    Source: Zhang et al. (2012), NeuroImage 61, equations 1 to 8: sticks with Watson's distribution inside, a tensor with
    the tortuosity of the sticks' density outside.
    """
    nodes, _, polynomials = legendre_nodes()
    moments = watson_moments(odi)
    inside = (moments * legendre_series(np.exp(-b_value * PARALLEL * nodes**2))) @ polynomials
    squared = (2 * moments[:, 1:2] + 1) / 3  # expected squared cosine
    density = ndi[:, None]
    along = PARALLEL * (1 - density * (1 - squared))
    across = PARALLEL * (1 - density * (1 + squared) / 2)
    outside = np.exp(-b_value * (across + (along - across) * nodes**2))
    return density * inside + (1 - density) * outside


def signals_at(
    b_values: np.ndarray, cosines: np.ndarray, ndi: np.ndarray, odi: np.ndarray, free_water: np.ndarray
) -> np.ndarray:
    """Signal of voxels, 1 without diffusion weighting and without noise.

    Args:
        b_values: `(N,)` s/mm^2.
        cosines: `(V, N)` between gradients and the voxels' mean directions.
        ndi, odi, free_water: `(V,)` fractions.

    Returns:
        `(V, N)`.
    """
    nodes, _, _ = legendre_nodes()
    moments = watson_moments(odi)
    squared = ((2 * moments[:, 1] + 1) / 3)[:, None]
    density, free = ndi[:, None], free_water[:, None]
    series = np.stack([legendre_series(np.exp(-b * PARALLEL * nodes**2)) for b in b_values])
    inside = np.zeros_like(cosines)
    for order, polynomial in enumerate(even_legendre(cosines, DEGREE)):
        inside += moments[:, order, None] * series[:, order] * polynomial
    along, across = PARALLEL * (1 - density * (1 - squared)), PARALLEL * (1 - density * (1 + squared) / 2)
    outside = np.exp(-b_values * (across + (along - across) * cosines**2))
    return (1 - free) * (density * inside + (1 - density) * outside) + free * np.exp(-b_values * FREE)
