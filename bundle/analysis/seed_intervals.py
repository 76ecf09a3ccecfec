"""Means over repetitions, with what they leave open."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats


def mean_and_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of repetitions and its 95 % t interval.

    Args:
        values: one per repetition; those that are not finite are left out.

    Returns:
        Mean, lower and upper end. The ends are NaN for fewer than two values, all three for none.
    """
    given = np.asarray(values, dtype=float)
    given = given[np.isfinite(given)]
    if len(given) == 0:
        return (float("nan"),) * 3
    mean = float(given.mean())
    if len(given) == 1:
        return mean, float("nan"), float("nan")
    half = float(stats.t.ppf(0.975, len(given) - 1) * given.std(ddof=1) / np.sqrt(len(given)))
    return mean, mean - half, mean + half
