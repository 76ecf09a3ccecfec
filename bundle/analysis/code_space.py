"""From embeddings of 1536 values to the few dimensions that distances are measured in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CodeSpace:
    """Centre, scale and principal axes of embeddings.

    Attributes:
        centre: `(E,)`.
        scale: `(E,)`, standard deviations, or ones.
        axes: `(E, D)`, orthonormal columns; the identity if nothing is reduced.
        explained: share of the scaled embeddings' variance in the D dimensions.
    """

    centre: np.ndarray
    scale: np.ndarray
    axes: np.ndarray
    explained: float

    @classmethod
    def fit(cls, codes: np.ndarray, standardise: bool, reduce: bool, seed: int, rank: int | None = None) -> CodeSpace:
        """Fit on embeddings `(N, E)`.

        Args:
            codes: of one encoder.
            standardise: divide each value by its standard deviation.
            reduce: keep the principal axes that parallel analysis keeps, two at least.
            seed: of the permutations of parallel analysis.
            rank: of a space that was fitted before, instead of parallel analysis.
        """
        centre = codes.mean(axis=0)
        deviations = codes.std(axis=0)
        scale = np.where(deviations > 0, deviations, 1.0) if standardise else np.ones_like(centre)
        scaled = (codes - centre) / scale
        if not reduce:
            return cls(centre, scale, np.eye(len(centre)), 1.0)
        values, axes = principal_axes(scaled)
        if rank is None:
            rank = max(2, parallel_analysis_rank(scaled, values, np.random.default_rng(seed)))
        return cls(centre, scale, axes[:, :rank], float(values[:rank].sum() / values.sum()))

    @property
    def n_dimensions(self) -> int:
        """D."""
        return self.axes.shape[1]

    def transform(self, codes: np.ndarray) -> np.ndarray:
        """`(N, E)` to `(N, D)`."""
        return (codes - self.centre) / self.scale @ self.axes

    def distance_outside(self, codes: np.ndarray) -> np.ndarray:
        """Length of what the D dimensions leave out of each embedding, `(N,)`."""
        scaled = (codes - self.centre) / self.scale
        inside = np.square(scaled @ self.axes).sum(axis=1)
        return np.sqrt(np.maximum(np.square(scaled).sum(axis=1) - inside, 0))


def principal_axes(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variances and orthonormal axes of centred rows `(N, E)`: `(K,)` descending and `(E, K)`."""
    n_rows, n_columns = centred.shape
    if n_rows >= n_columns:
        values, vectors = np.linalg.eigh(centred.T @ centred / n_rows)
        order = np.argsort(values)[::-1]
        return np.maximum(values[order], 0), vectors[:, order]
    values, vectors = np.linalg.eigh(centred @ centred.T / n_rows)
    order = np.argsort(values)[::-1][: n_rows - 1]
    values = np.maximum(values[order], 0)
    kept = values > 1e-12 * values[0]
    return values[kept], centred.T @ vectors[:, order[kept]] / np.sqrt(n_rows * values[kept])


def parallel_analysis_rank(
    centred: np.ndarray, values: np.ndarray, rng: np.random.Generator, n_permutations: int = 20
) -> int:
    """How many leading components have more variance than chance gives: Horn's parallel analysis by permutation.

    Each column is permuted on its own, which keeps its variance and breaks every relation.

    Args:
        centred: `(N, E)`.
        values: variances of its components, descending.
        rng: of the permutations.
        n_permutations: how many; a component has to exceed 95 % of their variances.

    Source: Horn (1965), Psychometrika 30, 179-185; Buja and Eyuboglu (1992) for permutations.
    """
    by_chance = np.stack([_variances(rng.permuted(centred, axis=0), len(values)) for _ in range(n_permutations)])
    exceeds = values > np.quantile(by_chance, 0.95, axis=0)
    return len(exceeds) if exceeds.all() else int(exceeds.argmin())


def _variances(centred: np.ndarray, count: int) -> np.ndarray:
    n_rows, n_columns = centred.shape
    gram = centred @ centred.T if n_rows < n_columns else centred.T @ centred
    found = np.sort(np.linalg.eigvalsh(gram / n_rows))[::-1][:count]
    return np.pad(found, (0, count - len(found)))


def effective_rank(values: np.ndarray) -> float:
    """Exponential of the entropy of variances' shares: 1 for one direction, K for K equal ones.

    Source: Roy and Vetterli (2007), EUSIPCO.
    """
    shares = values[values > 0] / values.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))
