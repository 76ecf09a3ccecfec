"""Figures over all held-out participants, with intervals that know about families."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

N_DRAWS = 10_000
DRAWS_AT_ONCE = 500
LEAST_FOR_INTERVAL = 10
"""With fewer, resampled families give intervals that are far too narrow: of two, one in two misses (`benchmarks/few_families.py`)."""


def family_ratios(
    numerators: np.ndarray, denominators: np.ndarray, families: Sequence[object], seed: int = 0
) -> np.ndarray:
    """Sum over participants of the numerators divided by that of the denominators, with 95 % bootstrap intervals.

    A mean is a ratio whose denominators are 1; R² is one of what the network explained to what there was to
    explain. Whole families are drawn, the same for all K figures.

    Args:
        numerators: `(N, K)`, NaN for participants who have no such figure.
        denominators: `(N, K)`.
        families: N labels.
        seed: of the 10,000 draws.

    Returns:
        `(3, K)`: figure, low, high; NaN where no participant has it, ends also where participants of fewer than `LEAST_FOR_INTERVAL` have it.
    """
    known = np.isfinite(numerators) & np.isfinite(denominators)
    family_of = np.unique(np.asarray(families, dtype=str), return_inverse=True)[1]
    n_families = int(family_of.max()) + 1
    above, below = (np.zeros((n_families, numerators.shape[1])) for _ in range(2))
    np.add.at(above, family_of, np.where(known, numerators, 0))
    np.add.at(below, family_of, np.where(known, denominators, 0))
    rng = np.random.default_rng(seed)
    parts = []
    with np.errstate(invalid="ignore", divide="ignore"):
        for _ in range(N_DRAWS // DRAWS_AT_ONCE):
            draws = rng.multinomial(n_families, np.full(n_families, 1 / n_families), size=DRAWS_AT_ONCE)
            parts.append((draws @ above) / (draws @ below))
        figure = above.sum(axis=0) / below.sum(axis=0)
    drawn = np.concatenate(parts)
    ends = np.full((2, numerators.shape[1]), np.nan)
    with_figure = np.zeros((n_families, known.shape[1]), dtype=bool)
    np.logical_or.at(with_figure, family_of, known)
    there = np.isfinite(figure) & (with_figure.sum(axis=0) >= LEAST_FOR_INTERVAL)
    ends[:, there] = np.nanpercentile(drawn[:, there], [2.5, 97.5], axis=0)
    return np.vstack([figure, ends])
