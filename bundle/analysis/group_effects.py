"""Intervals by drawing whole families with replacement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bundle.analysis.exchange import VALUES_AT_ONCE
from bundle.analysis.family_draws import family_draws


def epsilon_squared_intervals(
    scores: np.ndarray, labels: np.ndarray, families: Sequence[object] | np.ndarray, n_draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of epsilon squared, `(F,)` low and high; whole families are drawn with replacement.

    A sample's epsilon squared is too high, the more groups the more: about as much as that of the draws is above the
    sample's. The interval is moved by both, so that it is one of what the population has.

    Args:
        scores: `(N, F)`.
        labels: `(N,)` groups 0 .. K-1.
        families: N labels.
        n_draws: bootstrap cohorts.
        seed: of the draws.
    """
    family_of, counts = family_draws(families, n_draws, seed)
    at_once = max(1, VALUES_AT_ONCE // (10 * len(labels)))
    observed = np.array([weighted_epsilon_squared(column, labels, np.ones((1, len(labels))))[0] for column in scores.T])
    drawn = np.empty((n_draws, scores.shape[1]))
    for start in range(0, n_draws, at_once):
        weights = counts[start : start + at_once, family_of].astype(float)
        for number, column in enumerate(scores.T):
            drawn[start : start + at_once, number] = weighted_epsilon_squared(column, labels, weights)
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0) - 2 * (drawn.mean(axis=0) - observed)
    return np.clip(low, 0, 1), np.clip(high, 0, 1)


def weighted_epsilon_squared(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Epsilon squared of one score `(N,)` in cohorts where participants stand several times: `(B, N)` to `(B,)`."""
    order = np.argsort(scores, kind="stable")
    weights, labels = weights[:, order], labels[order]
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    tied = np.add.reduceat(weights, starts, axis=1)
    middles = np.cumsum(tied, axis=1) - tied / 2
    ranks = np.repeat(middles, np.diff(np.r_[starts, len(scores)]), axis=1)
    ranks -= weights.sum(axis=1, keepdims=True) / 2
    member = (labels[:, None] == np.arange(labels.max() + 1)).astype(float)
    weighted = weights * ranks
    sums, sizes = weighted @ member, weights @ member
    between = np.divide(np.square(sums), sizes, out=np.zeros_like(sums), where=sizes > 0).sum(axis=1)
    total = (weighted * ranks).sum(axis=1)
    return np.divide(between, total, out=np.zeros_like(between), where=total > 0)


def group_means(
    scores: np.ndarray, labels: np.ndarray, families: Sequence[object] | np.ndarray, n_draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean score of each group with its 95 % interval over families drawn with replacement, each `(K, F)`."""
    family_of, counts = family_draws(families, n_draws, seed)
    n_families, n_groups = counts.shape[1], int(labels.max()) + 1
    # sums of each family in each group: a cohort of families needs no more
    cell = family_of * n_groups + labels
    sizes = np.bincount(cell, minlength=n_families * n_groups).reshape(n_families, n_groups)
    sums = np.stack([np.bincount(cell, column, n_families * n_groups) for column in scores.T], axis=-1)
    sums = sums.reshape(n_families, n_groups, -1)
    means = sums.sum(axis=0) / sizes.sum(axis=0)[:, None]
    low, high = np.empty_like(means), np.empty_like(means)
    for group in range(n_groups):
        drawn_sizes = counts @ sizes[:, group]
        has_any = drawn_sizes > 0
        drawn = (counts[has_any] @ sums[:, group]) / drawn_sizes[has_any, None]
        low[group], high[group] = np.percentile(drawn, [2.5, 97.5], axis=0)
    return means, low, high
