"""Predict a characteristic of participants by ridge regression, in nested folds of whole families."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from bundle.analysis.continuum import ALPHAS, INNER_FOLDS, ridge_path
from bundle.analysis.fold_split import combined_strata, stratified_folds


@dataclass(frozen=True)
class Target:
    """What is predicted.

    Attributes:
        name: of the column.
        values: `(N,)` numbers; of a category the position of the participant's level.
        levels: of a category; empty for a continuous target.
    """

    name: str
    values: np.ndarray
    levels: tuple[str, ...] = ()

    @property
    def outcome(self) -> np.ndarray:
        """`(N, 1)`, or `(N, K)` indicators of a category's levels."""
        if not self.levels:
            return self.values[:, None].astype(float)
        return (self.values[:, None] == np.arange(len(self.levels))).astype(float)

    def part(self, rows: np.ndarray) -> Target:
        """Of some participants."""
        return Target(self.name, self.values[rows], self.levels)


def outer_folds(target: Target, families: Sequence[str], n_folds: int, n_repeats: int, seed: int) -> np.ndarray:
    """Fold of each participant in each repetition, `(R, N)` from 1: a family is in one fold, the target is spread alike.

    Args:
        target: of N participants; quarters of a continuous one are spread.
        families: N names.
        n_folds: at most as many as families.
        n_repeats: R.
        seed: of the first repetition; the next ones count up.
    """
    strata = combined_strata(pd.DataFrame({target.name: target.values}), n_folds)
    return np.stack(
        [stratified_folds(strata.tolist(), families, n_folds, seed + repeat) for repeat in range(n_repeats)]
    )


def mean_predictions(target: Target, folds: np.ndarray) -> np.ndarray:
    """What one predicts without features: the mean outcome of the other folds, `(R, N, T)`."""
    outcome = target.outcome
    predicted = np.empty((*folds.shape, outcome.shape[1]))
    for repeat, fold_of in enumerate(folds):
        for fold in np.unique(fold_of):
            predicted[repeat, fold_of == fold] = outcome[fold_of != fold].mean(axis=0)
    return predicted


def out_of_fold_predictions(
    features: np.ndarray, target: Target, families: Sequence[str], folds: np.ndarray
) -> np.ndarray:
    """Ridge predictions of each participant by models of the other folds, `(R, N, T)`.

    A category is predicted by regression of its indicators. Mean and scale of the features and of the outcome are those of
    the training participants. Folds of families among them choose the penalty, and whether every column counts alike
    (divided by its standard deviation) or by its variance, as principal components and embeddings should.

    Args:
        features: `(N, P)`.
        target: of N participants.
        families: N names.
        folds: `(R, N)`, see `outer_folds`.
    """
    groups = np.unique(np.asarray(families, dtype=str), return_inverse=True)[1]
    features, outcome = features.astype(float), target.outcome
    predicted = np.empty((*folds.shape, outcome.shape[1]))
    for repeat, fold_of in enumerate(folds):
        for fold in np.unique(fold_of):
            seen, held_out = fold_of != fold, fold_of == fold
            divide, penalty = _best_model(features[seen], outcome[seen], groups[seen])
            predicted[repeat, held_out] = _path(features[seen], outcome[seen], features[held_out], divide, penalty)[0]
    return predicted


def _best_model(features: np.ndarray, outcome: np.ndarray, groups: np.ndarray) -> tuple[bool, np.ndarray]:
    """Whether to divide columns by their standard deviations, and the penalty, that predict other families best."""
    n_folds = min(INNER_FOLDS, len(np.unique(groups)))
    inner = list(GroupKFold(n_folds, shuffle=True, random_state=0).split(features, groups=groups))
    errors = np.zeros((2, len(ALPHAS)))
    for divide in (False, True):
        for seen, held_out in inner:
            path = _path(features[seen], outcome[seen], features[held_out], divide, ALPHAS)
            errors[int(divide)] += np.square(path - outcome[held_out]).sum(axis=(1, 2))
    best_scale, best_penalty = np.unravel_index(errors.argmin(), errors.shape)
    return bool(best_scale), ALPHAS[[best_penalty]]


def _path(seen: np.ndarray, outcome: np.ndarray, new: np.ndarray, divide: bool, penalties: np.ndarray) -> np.ndarray:
    """Predictions `(A, N', T)` at every penalty, which is in units of the features' total variance."""
    if divide:
        deviations = seen.std(axis=0)
        deviations = np.where(deviations > 1e-12 * np.abs(seen).max(initial=1e-300), deviations, np.inf)
        seen, new = seen / deviations, new / deviations
    total = max(float(np.square(seen - seen.mean(axis=0)).sum()), 1e-300)
    return ridge_path(seen, outcome, new, penalties * total)
