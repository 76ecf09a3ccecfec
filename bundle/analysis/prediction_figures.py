"""How good out-of-fold predictions are, with intervals over families, side by side on the same participants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bundle.analysis.family_draws import family_draws
from bundle.analysis.held_out_figures import LEAST_FOR_INTERVAL
from bundle.analysis.prediction import Target, mean_predictions

VALUES_AT_ONCE = 5_000_000
"""Participants times bootstrap draws that are held at a time."""
CONTINUOUS = ("r2", "mae", "r")
CATEGORICAL = ("auc", "balanced_accuracy")
COLUMNS = ("features", "figure", "value", "low", "high", "difference", "difference_low", "difference_high")


def compare_predictions(
    target: Target,
    predictions: Mapping[str, np.ndarray],
    folds: np.ndarray,
    families: Sequence[str],
    rows: np.ndarray,
    n_draws: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Figures of every set of features, and how far the first one is above each other.

    R2 is 1 - squared error / squared error of the mean of the other folds; `mae` is in units of the target; `r` is
    Pearson's, of what features add to that mean, as is the AUC. AUC of more than two levels is the mean over levels of each against the rest; balanced accuracy is the mean over
    levels of the share predicted right. Figures are means over repetitions of the folds.

    Args:
        target: of N participants.
        predictions: name of the features -> `(R, N, T)`.
        folds: `(R, N)`.
        families: N names, drawn with replacement for 95 % intervals; the same draws serve all features.
        rows: participants that figures are of.
        n_draws: bootstrap draws.
        seed: of the draws.

    Returns:
        `COLUMNS`, a row per features and figure. `difference` is the first features' value less this one's; NaN for the
        first. Intervals are NaN with fewer than ten families; what is not defined (AUC of one level) is NaN.
    """
    own = target.part(rows)
    by_mean = mean_predictions(target, folds)[:, rows]
    names = np.asarray(families, dtype=str)[rows]
    enough = len(np.unique(names)) >= LEAST_FOR_INTERVAL
    family_of, counts = family_draws(names, n_draws if enough else 1, seed)
    table: list[dict[str, object]] = []
    first: tuple[dict[str, np.ndarray], dict[str, np.ndarray]] | None = None
    for name, predicted in predictions.items():
        everybody = _figures(own, predicted[:, rows], by_mean, np.ones((1, len(rows))))
        drawn = _drawn(own, predicted[:, rows], by_mean, family_of, counts)
        first = first or (everybody, drawn)
        for figure, value in everybody.items():
            low, high = _ends(drawn[figure], enough)
            row = {"features": name, "figure": figure, "value": value[0], "low": low, "high": high}
            if len(table) >= len(everybody):
                ends = _ends(first[1][figure] - drawn[figure], enough)
                row |= {"difference": first[0][figure][0] - value[0], "difference_low": ends[0]}
                row["difference_high"] = ends[1]
            table.append(row)
    return pd.DataFrame(table).reindex(columns=list(COLUMNS))


def predicted_values(target: Target, predicted: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """One prediction per participant, `(N,)`: the mean over repetitions, or the number of the likeliest level."""
    if not target.levels:
        return predicted[..., 0].mean(axis=0)
    return _above_chance(predicted, mean_predictions(target, folds)).mean(axis=0).argmax(axis=1)


def weighted_auc(scores: np.ndarray, is_case: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve `(B,)`: the chance that a case scores higher than a non-case, ties counting half.

    Args:
        scores: `(N,)`.
        is_case: `(N,)` bool.
        weights: `(B, N)`, how often each participant counts.
    """
    order = np.argsort(scores, kind="stable")
    ordered, sorted_weights = scores[order], weights[:, order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    cases = np.add.reduceat(sorted_weights * is_case[order], starts, axis=1)
    others = np.add.reduceat(sorted_weights * ~is_case[order], starts, axis=1)
    below = np.cumsum(others, axis=1) - others / 2
    pairs = cases.sum(axis=1) * others.sum(axis=1)
    return np.divide((cases * below).sum(axis=1), pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def _above_chance(predicted: np.ndarray, by_mean: np.ndarray) -> np.ndarray:
    """Scores of levels relative to their share of the other folds, so that a frequent level is not guessed more often."""
    return predicted / np.maximum(by_mean, 1e-12)


def _drawn(
    target: Target, predicted: np.ndarray, by_mean: np.ndarray, family_of: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    at_once = max(1, VALUES_AT_ONCE // len(family_of))
    parts = [
        _figures(target, predicted, by_mean, counts[start : start + at_once][:, family_of].astype(float))
        for start in range(0, len(counts), at_once)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _figures(target: Target, predicted: np.ndarray, by_mean: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Figure -> `(B,)`, of predictions `(R, N, T)` for each row of weights `(B, N)`."""
    if target.levels:
        right = (_above_chance(predicted, by_mean).argmax(axis=2) == target.values).mean(axis=0)
        levels = range(1 if len(target.levels) == 2 else 0, len(target.levels))
        added = predicted - by_mean  # folds' own means would rank participants against their fold
        areas = [weighted_auc(one[:, k], target.values == k, weights) for one in added for k in levels]
        shares = [_mean(right, weights * (target.values == level)) for level in range(len(target.levels))]
        return dict(zip(CATEGORICAL, (np.mean(areas, axis=0), np.mean(shares, axis=0)), strict=True))
    errors, spread = predicted[..., 0] - target.values, by_mean[..., 0] - target.values
    unexplained = _mean(np.square(errors).mean(axis=0), weights) / _mean(np.square(spread).mean(axis=0), weights)
    mae = _mean(np.abs(errors).mean(axis=0), weights)
    r = np.mean([_correlation(one[:, 0], target.values, weights) for one in predicted - by_mean], axis=0)
    return dict(zip(CONTINUOUS, (1 - unexplained, mae, r), strict=True))


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = weights.sum(axis=1)
    return np.divide(weights @ values, total, out=np.full(len(weights), np.nan), where=total > 0)


def _correlation(one: np.ndarray, other: np.ndarray, weights: np.ndarray) -> np.ndarray:
    a, b = one - one.mean(), other - other.mean()
    mean_a, mean_b = _mean(a, weights), _mean(b, weights)
    covariance = _mean(a * b, weights) - mean_a * mean_b
    variances = (_mean(a * a, weights) - mean_a**2) * (_mean(b * b, weights) - mean_b**2)
    return np.divide(covariance, np.sqrt(np.maximum(variances, 0)), out=np.zeros_like(covariance), where=variances > 0)


def _ends(values: np.ndarray, enough: bool) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not enough or not len(known):
        return float("nan"), float("nan")
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)
