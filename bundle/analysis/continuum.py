"""Strata or a continuum: how well each predicts scores of participants whose family was not used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from bundle.analysis.combat import SiteModel
from bundle.analysis.covariates import CovariateModel
from bundle.analysis.family_draws import family_draws
from bundle.analysis.sites import Sites

ALPHAS = np.logspace(-3, 3, 13)
"""Ridge penalties, in units of the predictors' total variance."""
INNER_FOLDS = 5


def explained_by(
    scores: np.ndarray,
    predictors: Mapping[str, np.ndarray],
    penalised: Sequence[str],
    families: Sequence[object],
    covariates: pd.DataFrame | None,
    splines: bool = False,
    n_folds: int = 10,
    n_draws: int = 2000,
    seed: int = 0,
    sites: Sites | None = None,
) -> pd.DataFrame:
    """Cross-validated R squared of each score by each set of predictors.

    Scores are harmonised over sites, and covariates regressed out of them, by models of the participants of the other folds.

    Args:
        scores: `(N, F)`.
        predictors: name -> `(N, P)`, with covariates regressed out already; a partition is given as `indicators`. The others
            are compared with the first.
        penalised: names whose weights are shrunk by ridge regression; the penalty is chosen for each score by folds of
            families inside the training participants.
        families: N labels; folds are of whole families.
        covariates: N rows or None.
        splines: see `CovariateModel.fit`.
        n_folds: at most one per family.
        n_draws: bootstrap draws of families for the intervals.
        seed: of folds and draws.
        sites: of N participants, or None.

    Returns:
        A row per score (its number, `factor`) and `predictor`: `n_predictors`, `r2` (below 0: worse than the mean of
        the training participants) and its 95 % interval `low`, `high`; and for all but the first predictor, how far its R
        squared is above the first one's, `above`, `above_low`, `above_high`.
    """
    groups = np.unique(np.asarray(families, dtype=str), return_inverse=True)[1]
    n_folds = min(n_folds, groups.max() + 1)
    folds = list(GroupKFold(n_folds, shuffle=True, random_state=seed).split(scores, groups=groups))
    family_of, counts = family_draws(groups, n_draws, seed)
    targets, by_mean = [], np.zeros(scores.shape)
    for seen, held_out in folds:
        target = scores
        if sites is not None:
            target = SiteModel.fit_unchecked(target[seen], sites.part(seen), splines).apply(target, sites)
        if covariates is not None and covariates.shape[1]:
            model = CovariateModel.fit_unchecked(target[seen], covariates.iloc[seen], splines)
            target = model.adjust(target, covariates)
        target = target - target[seen].mean(axis=0)
        by_mean[held_out] = np.square(target[held_out])
        targets.append(target)

    def drawn_sums(values: np.ndarray) -> np.ndarray:
        return counts @ np.stack([np.bincount(family_of, column) for column in values.T], axis=1)

    rows = []
    total = np.maximum(drawn_sums(by_mean), 1e-12)
    first: tuple[np.ndarray, np.ndarray] | None = None
    for name, values in predictors.items():
        left = np.zeros(scores.shape)
        for (seen, held_out), target in zip(folds, targets, strict=True):
            alphas = _best_alphas(values[seen], target[seen], groups[seen]) if name in penalised else np.zeros(1)
            path = ridge_path(values[seen], target[seen], values[held_out], np.unique(alphas))
            chosen = np.searchsorted(np.unique(alphas), alphas) * np.ones(scores.shape[1], dtype=int)
            left[held_out] = np.square(target[held_out] - path[chosen, :, np.arange(scores.shape[1])].T)
        r2, drawn = 1 - left.sum(axis=0) / by_mean.sum(axis=0), 1 - drawn_sums(left) / total
        table = _with_interval("r2", r2, drawn, "low", "high")
        if first is not None:
            above = _with_interval("above", r2 - first[0], drawn - first[1], "above_low", "above_high")
            table = table.join(above)
        first = first or (r2, drawn)
        table.insert(0, "n_predictors", values.shape[1])
        table.insert(0, "predictor", name)
        table.insert(0, "factor", np.arange(scores.shape[1]))
        rows.append(table)
    return pd.concat(rows).sort_values("factor", kind="stable", ignore_index=True)


def _with_interval(name: str, values: np.ndarray, drawn: np.ndarray, low: str, high: str) -> pd.DataFrame:
    ends = np.percentile(drawn, [2.5, 97.5], axis=0)
    return pd.DataFrame({name: values, low: ends[0], high: ends[1]})


def indicators(labels: np.ndarray) -> np.ndarray:
    """A partition `(N,)` of K groups as `(N, K - 1)` columns of 0 and 1."""
    return (labels[:, None] == np.unique(labels)[1:]).astype(float)


def ridge_path(predictors: np.ndarray, targets: np.ndarray, new: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """Predictions `(A, N', F)` of new participants by ridge regression at every penalty; 0 is least squares.

    One eigendecomposition serves all penalties and targets: of participants or of predictors, whichever are fewer.

    Args:
        predictors: `(N, P)`.
        targets: `(N, F)`.
        new: `(N', P)`.
        alphas: A penalties.
    """
    centre, mean = predictors.mean(axis=0), targets.mean(axis=0)
    own, other = predictors - centre, new - centre
    if len(own) <= own.shape[1]:
        values, vectors = np.linalg.eigh(own @ own.T)
        basis, weights = (other @ own.T) @ vectors, vectors.T @ (targets - mean)
    else:
        values, vectors = np.linalg.eigh(own.T @ own)
        basis, weights = other @ vectors, vectors.T @ (own.T @ (targets - mean))
    is_there = values > 1e-10 * max(values.max(), 1e-300)
    shrunk = is_there / (np.where(is_there, values, 1) + alphas[:, None])
    return np.einsum("nr,ar,rf->anf", basis, shrunk, weights, optimize=True) + mean


def _best_alphas(predictors: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The penalty of each target `(F,)` that predicts other families best.

    scikit-learn's `RidgeCV` leaves out one participant at a time and learns from that participant's relatives.
    """
    total = max(float(np.square(predictors - predictors.mean(axis=0)).sum()), 1e-12)
    n_folds = min(INNER_FOLDS, len(np.unique(groups)))
    if n_folds < 2:
        return np.full(targets.shape[1], ALPHAS[-1] * total)
    error = np.zeros((len(ALPHAS), targets.shape[1]))
    for seen, held_out in GroupKFold(n_folds, shuffle=True, random_state=0).split(predictors, groups=groups):
        path = ridge_path(predictors[seen], targets[seen], predictors[held_out], ALPHAS * total)
        error += np.square(path - targets[held_out]).sum(axis=1)
    return ALPHAS[error.argmin(axis=0)] * total
