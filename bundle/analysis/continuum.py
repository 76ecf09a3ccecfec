"""Strata or a continuum: how well each predicts scores of people whose family was not used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.model_selection import GroupKFold

from bundle.analysis.covariates import CovariateModel
from bundle.analysis.group_tests import family_draws

ALPHAS = np.logspace(-3, 3, 13)
"""Ridge penalties, in units of the predictors' total variance."""


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
) -> pd.DataFrame:
    """Cross-validated R squared of each score by each set of predictors.

    Covariates, if given, are taken out of the scores by a model of the people of the other folds.

    Args:
        scores: `(N, F)`.
        predictors: name -> `(N, P)`, with covariates taken out already; a partition is given as `indicators`.
        penalised: names whose weights are shrunk by ridge regression; the penalty is chosen inside the training people.
        families: N labels; folds are of whole families.
        covariates: N rows or None.
        splines: see `CovariateModel.fit`.
        n_folds: at most one per family.
        n_draws: bootstrap draws of families for the intervals.
        seed: of folds and draws.

    Returns:
        A row per score (its number, `factor`) and `predictor`: `n_predictors`, `r2` (below 0: worse than the mean of
        the training people) and its 95 % interval `low`, `high`.
    """
    n_folds = min(n_folds, len(set(families)))
    folds = list(GroupKFold(n_folds, shuffle=True, random_state=seed).split(scores, groups=np.asarray(families)))
    draws = family_draws(families, n_draws, seed)
    rows = []
    for name, values in predictors.items():
        by_mean, by_model = np.zeros_like(scores), np.zeros_like(scores)
        for seen, held_out in folds:
            target = scores
            if covariates is not None:
                target = CovariateModel.fit_unchecked(scores[seen], covariates.iloc[seen], splines).adjust(
                    scores, covariates
                )
            mean = target[seen].mean(axis=0)
            model = _ridge(values[seen]) if name in penalised else LinearRegression()
            model.fit(values[seen], target[seen] - mean)
            by_mean[held_out] = np.square(target[held_out] - mean)
            predicted = model.predict(values[held_out]).reshape(len(held_out), -1)
            by_model[held_out] = np.square(target[held_out] - mean - predicted)
        drawn = 1 - (draws @ by_model) / np.maximum(draws @ by_mean, 1e-12)
        low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
        r2 = 1 - by_model.sum(axis=0) / by_mean.sum(axis=0)
        rows += [
            {
                "factor": number,
                "predictor": name,
                "n_predictors": values.shape[1],
                "r2": r2[number],
                "low": low[number],
                "high": high[number],
            }
            for number in range(scores.shape[1])
        ]
    return pd.DataFrame(rows).sort_values("factor", kind="stable", ignore_index=True)


def indicators(labels: np.ndarray) -> np.ndarray:
    """A partition `(N,)` of K groups as `(N, K - 1)` columns of 0 and 1."""
    return (labels[:, None] == np.unique(labels)[1:]).astype(float)


def _ridge(predictors: np.ndarray) -> RidgeCV:
    total = np.square(predictors - predictors.mean(axis=0)).sum()
    return RidgeCV(alphas=ALPHAS * max(total, 1e-12), alpha_per_target=True)
