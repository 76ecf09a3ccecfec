"""Folds for cross-validation: relatives stay together, and what matters is spread alike."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold

MOST_LEVELS = 10
"""Numbers with more different values than this are cut into quarters of the participants."""
NOT_KNOWN = "not known"
RARE = "rare"


def combined_strata(table: pd.DataFrame, n_folds: int) -> np.ndarray:
    """One label per participant that says their value in every column, `(N,)` text.

    Values that are missing are a level of their own. A combination of fewer than `n_folds` participants cannot be in every
    fold: its last column is dropped until there are enough of them; what is left over makes one label, `rare`.

    Args:
        table: a row per participant, a column per thing to spread alike; the columns that matter most first.
        n_folds: how many folds there will be.
    """
    levels = pd.DataFrame({str(name): _levels(table[name]) for name in table}, index=table.index)
    labels = pd.Series(RARE, index=table.index)
    left = pd.Series(True, index=table.index)
    for depth in range(levels.shape[1], 0, -1):
        joint = levels.iloc[:, :depth].agg(" | ".join, axis=1)
        often = left & (joint[left].reindex(joint.index).map(joint[left].value_counts()) >= n_folds)
        labels[often] = joint[often]
        left &= ~often
    return labels.to_numpy(dtype=str)


def stratified_folds(strata: Sequence[str], families: Sequence[str], n_folds: int, seed: int) -> np.ndarray:
    """Fold of each participant, `(N,)` from 1 to `n_folds`: a family is in one of them, strata are in all alike.

    scikit-learn's `StratifiedGroupKFold`: families in order of how unlike their members are go where they even out
    the strata most.

    Args:
        strata: N labels.
        families: N labels.
        n_folds: at least 2.
        seed: of the order of families.

    Raises:
        ValueError: if there are fewer families than folds, or they cannot fill every fold.
    """
    labels, members = np.asarray(strata, dtype=str), np.asarray(families, dtype=str)
    folds = np.zeros(len(labels), dtype=int)
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # rare ones have been joined
        for number, (_, rows) in enumerate(splitter.split(labels, labels, members), start=1):
            folds[rows] = number
    empty = set(range(1, n_folds + 1)) - set(folds)
    if empty:
        raise ValueError(f"{len(set(members))} families cannot fill {n_folds} folds.")
    return folds


def validation_people(families: Sequence[str], share: float, seed: int) -> np.ndarray:
    """Who watches training rather than taking part in it, `(N,)` booleans: whole families, about a share of them.

    Args:
        families: N labels.
        share: of the families, in (0, 1).
        seed: of the choice.

    Raises:
        ValueError: if no participant would be left to train.
    """
    members = np.asarray(families, dtype=str)
    chosen = np.zeros(len(members), dtype=bool)
    _, rows = next(GroupShuffleSplit(1, test_size=share, random_state=seed).split(members, groups=members))
    chosen[rows] = True
    return chosen


def _levels(column: pd.Series) -> pd.Series:
    """A column as text, numbers of many values in quarters."""
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.nunique() > MOST_LEVELS and numbers.notna().sum() == column.notna().sum():
        column = pd.qcut(numbers, 4, duplicates="drop").astype(str).where(numbers.notna())
    return column.astype(object).where(column.notna(), NOT_KNOWN).astype(str)
