"""Numbers that lie apart from all others of their column, as codes for a missing value do."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

MOST_CUTS = 6
"""Embeddings above and below, some of each."""
NAMED = 3
"""Values that are named one by one; more are named by their range."""


def values_apart(values: np.ndarray) -> np.ndarray:
    """Distinct values that are farther from most participants' than these are from each other, `(K,)`, ascending.

    The values are cut at their widest gaps; what is not in the piece of most participants lies apart if both gaps beside that piece
    are wider than the piece. Unlike a distance in standard deviations, this also finds a code for a missing value (-999, 99)
    that so many participants have that it widens the spread, and embeddings on both sides. A piece of one value alone is not taken for
    most participants', so yes and no never lie apart.

    Args:
        values: `(N,)`; NaN if missing.
    """
    levels, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    steps = np.diff(levels)
    apart = levels[:0]
    for n_cuts in range(1, min(MOST_CUTS, len(steps)) + 1):
        cuts = np.sort(np.argsort(steps)[-n_cuts:])
        piece = np.searchsorted(cuts, np.arange(len(levels)))  # of each level, from the lowest
        people = np.bincount(piece, weights=counts)
        is_most = piece == np.argmax(people)
        beside = steps[is_most[1:] != is_most[:-1]]
        if people.max() > counts.sum() / 2 and 0 < np.ptp(levels[is_most]) < beside.min():
            apart = levels[~is_most]
    return apart


def words_on_values_apart(values: np.ndarray) -> str:
    """Such as "43 participants have -999, all others 80 to 150"; empty if no value lies apart.

    Args:
        values: `(N,)`; NaN if missing.
    """
    apart = values_apart(values)
    if not len(apart):
        return ""
    is_apart = np.isin(values, apart)
    others = values[np.isfinite(values) & ~is_apart]
    few = " or ".join(f"{value:g}" for value in apart)
    many = f"values from {apart[0]:g} to {apart[-1]:g}"
    who = "1 participant has" if is_apart.sum() == 1 else f"{is_apart.sum()} participants have"
    return f"{who} {few if len(apart) <= NAMED else many}, all others {others.min():g} to {others.max():g}"


def sentence_on_values_apart(name: str, words: str) -> str:
    """What to ask about a column of which there are `words_on_values_apart`."""
    return f"{name}: {words}: is it a code for a missing value, or a slip? Write n/a for what is missing."


def notes_on_covariates(covariates: pd.DataFrame | None) -> list[str]:
    """Such a sentence for each covariate that is a number and has values apart.

    Args:
        covariates: a row per participant; None for none.
    """
    if covariates is None:
        return []
    words = {
        str(name): words_on_values_apart(covariates[name].to_numpy(dtype=float))
        for name in covariates
        if is_numeric_dtype(covariates[name])
    }
    return [sentence_on_values_apart(name, word) for name, word in words.items() if word]
