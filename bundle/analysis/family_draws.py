"""Whole families drawn at random: with replacement for intervals, without it to see what stays when some are left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np


def family_draws(families: Sequence[object] | np.ndarray, n_draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap cohorts of whole families.

    Returns:
        The family of each participant, `(N,)` numbers 0 .. G-1, and how often each family is in each cohort, `(n_draws, G)`.
    """
    family_of = np.unique(np.asarray(families, dtype=str), return_inverse=True)[1]
    n_families = family_of.max() + 1
    counts = np.random.default_rng(seed).multinomial(n_families, np.full(n_families, 1 / n_families), size=n_draws)
    return family_of, counts


def family_subsamples(family_of: np.ndarray, count: int, share: float, seed: int) -> Iterator[np.ndarray]:
    """Rows of random families without replacement, `count` times.

    Args:
        family_of: N integers 0 .. F-1.
        count: number of subsamples.
        share: of families.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    n_families = family_of.max() + 1
    for _ in range(count):
        kept = np.zeros(n_families, dtype=bool)
        kept[rng.permutation(n_families)[: max(2, round(share * n_families))]] = True
        yield np.flatnonzero(kept[family_of])
