"""Cohorts without strata: what the null draws, alike in covariance, families and, if asked, in tails."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pandas as pd

KINDS = ("gaussian", "t")
LEAST_DEGREES = 4.5
"""Of freedom that the t reference is given; at 4 the kurtosis it is fitted to would be infinite."""


class UnimodalReference:
    """Draws point clouds with one mode that have the mean, the covariance and the family resemblance of real points.

    The covariance is split into a part that relatives share, estimated from all pairs of relatives, and a part of each
    participant; so twins lie close in a reference as they do in the data, and are no evidence for strata. What covariates
    explain is regressed out of each reference, as it was of the points, and the reference is mapped linearly to have exactly
    the points' mean and covariance. For unrelated participants from one Gaussian that is their distribution given mean and
    covariance, so that a test against such references is exact.

    Args:
        points: `(N, D)`.
        families: N labels.
        kind: `gaussian`, or `t`: a multivariate t whose degrees of freedom follow from the points' kurtosis.
        design: `(N, P)` terms that were regressed out of the points; None if there were none.

    Raises:
        ValueError: for another kind.
    """

    def __init__(
        self,
        points: np.ndarray,
        families: Sequence[object],
        kind: str = "gaussian",
        design: np.ndarray | None = None,
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"Expected the reference to be one of {KINDS}, got {kind!r}.")
        self.kind = kind
        self.family_of = pd.factorize(np.asarray(families))[0]
        terms = np.ones((len(points), 1)) if design is None else np.column_stack([np.ones(len(points)), design])
        self._taken_out = np.linalg.qr(terms)[0]
        self._centred = points - points.mean(axis=0)
        rank = len(points) - terms.shape[1]
        if self._centred.shape[1] > rank:  # as many axes as the participants have; distances stay
            left, values, _ = np.linalg.svd(self._centred, full_matrices=False)
            self._centred = left[:, :rank] * values[:rank]
        self._covariance = self._centred.T @ self._centred / (len(points) - 1)
        self._shared_root = _root(shared_covariance(self._centred, self.family_of))
        self._own_root = _root(self._covariance - self._shared_root @ self._shared_root.T)

    @cached_property
    def degrees_of_freedom(self) -> float:
        """Of the multivariate t with the points' kurtosis; infinite if their tails are no heavier than Gaussian.

        Source: Mardia's kurtosis; that of a t is the Gaussian's times (v - 2) / (v - 4).
        """
        n_points, n_dimensions = self._centred.shape
        covariance = self._centred.T @ self._centred / n_points
        squared = np.einsum("ni,in->n", self._centred, np.linalg.pinv(covariance) @ self._centred.T)
        # the sample value of a Gaussian is a little low: (N - 1) / (N + 1)
        expected = n_dimensions * (n_dimensions + 2) * (n_points - 1) / (n_points + 1)
        excess = np.mean(squared**2) / expected - 1
        return max(LEAST_DEGREES, 4 + 2 / excess) if excess > 0 else np.inf

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """A cohort of the same families, centred: `(N, D)`, or as many axes as N participants have."""
        n_points, n_dimensions = self._centred.shape
        shared = rng.standard_normal((self.family_of.max() + 1, n_dimensions)) @ self._shared_root.T
        drawn = shared[self.family_of] + rng.standard_normal((n_points, n_dimensions)) @ self._own_root.T
        if self.kind == "t" and np.isfinite(self.degrees_of_freedom):
            degrees = self.degrees_of_freedom
            # unit variance: a t of v degrees has v / (v - 2)
            drawn *= np.sqrt((degrees - 2) / rng.chisquare(degrees, size=(n_points, 1)))
        drawn -= self._taken_out @ (self._taken_out.T @ drawn)
        left, _, right = np.linalg.svd(drawn, full_matrices=False)
        return np.sqrt(n_points - 1) * left @ right @ _root(self._covariance).T


def shared_covariance(centred: np.ndarray, family_of: np.ndarray) -> np.ndarray:
    """Mean of x_i x_j' over all ordered pairs of relatives, `(D, D)`; zero if there are none.

    Args:
        centred: `(N, D)`.
        family_of: N integers.
    """
    sums = pd.DataFrame(centred).groupby(family_of).sum().to_numpy()
    sizes = np.bincount(family_of)
    n_pairs = (sizes * (sizes - 1)).sum()
    if n_pairs == 0:
        return np.zeros((centred.shape[1], centred.shape[1]))
    return (sums.T @ sums - centred.T @ centred) / n_pairs


def _root(matrix: np.ndarray) -> np.ndarray:
    """R with R R' = matrix, negative eigenvalues (of estimation) set to zero."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return vectors * np.sqrt(np.clip(values, 0, None))
