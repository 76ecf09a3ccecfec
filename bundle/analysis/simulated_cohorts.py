"""Cohorts whose truth is known: continua of several shapes, and groups of any size and distance.

Axes have a standard deviation of 1 within groups, so distances between groups are in standard deviations. Relatives correlate
0.4 in every axis and belong to one group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import helmert

CONTINUA = ("gaussian", "heavy", "skewed", "flat", "bent", "curved", "two gradients", "two branches", "long tail")
"""The shapes that `continuum` knows."""
FAMILY_SIZES, FAMILY_SHARES = (1, 2, 3, 4), (0.25, 0.35, 0.25, 0.15)
KINSHIP = 0.4


@dataclass(frozen=True)
class SimulatedCohort:
    """Participants in a few axes.

    Attributes:
        points: `(N, D)`.
        families: `(N,)` integers.
        groups: `(N,)` the truth; all 0 in a continuum.
    """

    points: np.ndarray
    families: np.ndarray
    groups: np.ndarray


def continuum(shape: str, n_people: int, n_axes: int, rng: np.random.Generator) -> SimulatedCohort:
    """A cohort without groups.

    Args:
        shape: `gaussian` (axes of standard deviations from 3 to 1); `heavy` (the same as a multivariate t of five degrees
            of freedom); `skewed` (its first axis is a gamma of shape 2); `flat` (two axes uniform); `bent` (a parabola);
            `curved` (half a circle of radius 5); `two gradients` (every participant has a place along each of two oblique uniform
            gradients); `two branches` (each participant has a place along one of two uniform gradients that start together);
            `long tail` (15 % of participants lie along a uniform gradient that starts in a cloud: harder for any test of gaps
            than the others).
        n_people: N.
        n_axes: D, two or more.
        rng: of everything.

    Raises:
        ValueError: for another shape.
    """
    if shape not in CONTINUA:
        raise ValueError(f"Expected one of {CONTINUA}, got {shape!r}.")
    families = simulated_families(rng, n_people)
    axes = related(rng, families, n_axes, KINSHIP)
    along, beside = rng.random(n_people), rng.random(n_people)
    centred = np.sqrt(12) * (along - 0.5)  # of unit variance
    if shape in ("gaussian", "heavy", "skewed"):
        axes *= np.geomspace(3, 1, n_axes)
    if shape == "heavy":
        axes *= np.sqrt(3 / rng.chisquare(5, size=(n_people, 1)))
    elif shape == "skewed":
        axes[:, 0] = 3 * (rng.gamma(2, size=n_people) - 2) / np.sqrt(2)
    elif shape == "flat":
        axes[:, :2] = 3 * np.sqrt(12) * (np.column_stack([along, beside]) - 0.5)
    elif shape == "bent":
        axes[:, :2] += 3 * np.column_stack([centred, centred**2])
    elif shape == "curved":
        axes[:, :2] += 5 * np.column_stack([np.cos(np.pi * along), np.sin(np.pi * along)])
    elif shape == "two gradients":
        axes[:, :2] += np.column_stack([8 * along + 4 * beside, 6 * beside])
    elif shape == "two branches":
        axes[np.arange(n_people), rng.integers(0, 2, n_people)] += 10 * along
    elif shape == "long tail":
        axes[:, 0] += 8 * along * (beside < 0.15)
    return SimulatedCohort(axes - axes.mean(axis=0), families, np.zeros(n_people, dtype=int))


def grouped(
    shares: Sequence[float],
    separation: float,
    n_people: int,
    n_axes: int,
    rng: np.random.Generator,
    spreads: Sequence[float] | None = None,
    families: np.ndarray | None = None,
) -> SimulatedCohort:
    """A cohort of Gaussian groups, each as far from every other one.

    Args:
        shares: of participants in each of K groups, as nearly as whole families allow.
        separation: of means, in standard deviations of the first group.
        n_people: N.
        n_axes: D, at least K - 1.
        rng: of everything.
        spreads: standard deviation of each group; None is 1 for all.
        families: N integers from 0; None draws them.
    """
    families = simulated_families(rng, n_people) if families is None else families
    sizes = np.bincount(families)
    order = rng.permutation(len(sizes))
    bounds = np.cumsum(shares) / np.sum(shares) * n_people
    middles = np.cumsum(sizes[order]) - sizes[order] / 2
    group_of = np.empty(len(sizes), dtype=int)
    group_of[order] = np.searchsorted(bounds, middles).clip(max=len(shares) - 1)
    groups = group_of[families]
    axes = related(rng, families, n_axes, KINSHIP)
    if spreads is not None:
        axes *= np.asarray(spreads)[groups, None]
    corners = helmert(len(shares)).T * separation / np.sqrt(2)
    axes[:, : len(shares) - 1] += corners[groups]
    return SimulatedCohort(axes - axes.mean(axis=0), families, groups)


def simulated_families(rng: np.random.Generator, n_people: int) -> np.ndarray:
    """Families of one to four: `(N,)` integers."""
    sizes = rng.choice(FAMILY_SIZES, size=n_people, p=FAMILY_SHARES)
    return np.repeat(np.arange(n_people), sizes)[:n_people]


def related(rng: np.random.Generator, families: np.ndarray, count: int, correlation: float) -> np.ndarray:
    """`(N, count)` standard normal values that relatives share by a correlation."""
    shared = rng.standard_normal((families.max() + 1, count))[families]
    own = rng.standard_normal((len(families), count))
    return np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
