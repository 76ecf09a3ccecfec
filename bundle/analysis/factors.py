"""Phenotype factors: principal components of items, rotated by Varimax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import norm, rankdata
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  (it adds IterativeImputer to sklearn.impute)
from sklearn.impute import IterativeImputer

from bundle.analysis.code_space import parallel_analysis_rank, principal_axes
from bundle.analysis.family_draws import family_subsamples


@dataclass(frozen=True)
class FactorModel:
    """What turns items into factor scores.

    Attributes:
        scales: one per item, see `ItemScale`.
        imputer: fills missing values of the scaled items from the others.
        loadings: `(I, K)` correlation of each item with each factor; the largest of each factor is positive.
        explained: `(K,)` share of the items' variance, largest first.
    """

    scales: tuple[ItemScale, ...]
    imputer: IterativeImputer
    loadings: np.ndarray
    explained: np.ndarray

    @classmethod
    def fit(
        cls, items: np.ndarray, n_factors: int | None = None, is_ranked: Sequence[bool] | None = None, seed: int = 0
    ) -> FactorModel:
        """Fit on items `(N, I)`, NaN where a value is missing.

        Args:
            items: no column is constant.
            n_factors: None takes as many as parallel analysis keeps, one at least.
            is_ranked: per item, whether its ranks are brought to a normal distribution; None for no item.
            seed: of the permutations of parallel analysis.

        Raises:
            ValueError: for more factors than the items have independent directions.

        Source: retention Horn (1965); rotation Kaiser (1958), with his normalisation.
        """
        n_people, n_items = items.shape
        ranked = [False] * n_items if is_ranked is None else is_ranked
        scales = tuple(ItemScale.fit(column, rank) for column, rank in zip(items.T, ranked, strict=True))
        scaled = _scaled(items, scales)
        imputer = IterativeImputer(random_state=seed, max_iter=20, tol=1e-2).fit(scaled)
        scaled = imputer.transform(scaled)
        rank = np.linalg.matrix_rank(scaled - scaled.mean(axis=0), tol=1e-6 * np.sqrt(n_people))
        if n_factors is not None and not 1 <= n_factors <= rank:
            raise ValueError(f"Expected 1 to {rank} factors, got {n_factors}.")
        loadings = rotated_loadings(scaled, n_factors, seed)
        return cls(scales, imputer, loadings, np.square(loadings).sum(axis=0) / n_items)

    @property
    def n_factors(self) -> int:
        """K."""
        return self.loadings.shape[1]

    def standardised(self, items: np.ndarray) -> np.ndarray:
        """Items `(N, I)` in standard deviations, without gaps."""
        scaled = _scaled(items, self.scales)
        return self.imputer.transform(scaled)

    def scores(self, items: np.ndarray) -> np.ndarray:
        """Factor scores `(N, K)`; of the participants of `fit`, uncorrelated and with a standard deviation of about 1."""
        return self.standardised(items) @ self.loadings @ np.linalg.pinv(self.loadings.T @ self.loadings)


@dataclass(frozen=True)
class ItemScale:
    """From an item's own units to standard deviations.

    Attributes:
        centre, spread: mean and standard deviation.
        values, normal: known values, ascending, and what the normal distribution has at their rank; None without ranks.
    """

    centre: float
    spread: float
    values: np.ndarray | None = None
    normal: np.ndarray | None = None

    @classmethod
    def fit(cls, values: np.ndarray, ranked: bool) -> ItemScale:
        known = values[~np.isnan(values)]
        if not ranked:
            return cls(float(known.mean()), float(known.std()))
        distinct, where = np.unique(known, return_index=True)
        normal = norm.ppf((rankdata(known)[where] - 0.5) / len(known))
        spread = np.interp(known, distinct, normal).std()
        return cls(0.0, float(spread), distinct, normal)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """`(N,)` to `(N,)`; NaN stays NaN, values between known ones lie between their ranks."""
        if self.values is not None and self.normal is not None:
            values = np.where(np.isnan(values), np.nan, np.interp(values, self.values, self.normal))
        return (values - self.centre) / self.spread


def _scaled(items: np.ndarray, scales: Sequence[ItemScale]) -> np.ndarray:
    return np.column_stack([scale(column) for scale, column in zip(scales, items.T, strict=True)])


def rotated_loadings(standardised: np.ndarray, n_factors: int | None, seed: int) -> np.ndarray:
    """Loadings `(I, K)` of standardised items `(N, I)`, largest share of variance first, signs fixed."""
    centred = standardised - standardised.mean(axis=0)
    deviations = centred.std(axis=0)
    centred /= np.where(deviations > 0, deviations, 1)
    values, axes = principal_axes(centred)
    if n_factors is None:
        n_factors = max(1, parallel_analysis_rank(centred, values, np.random.default_rng(seed), n_permutations=100))
    # directions that participants do not differ in at all, such as that of an item that is the sum of others, are left empty
    missing = max(0, n_factors - len(values))
    axes, values = np.pad(axes, ((0, 0), (0, missing))), np.pad(values, (0, missing))
    loadings = varimax(axes[:, :n_factors] * np.sqrt(values[:n_factors]))
    loadings = loadings[:, np.argsort(-np.square(loadings).sum(axis=0), kind="stable")]
    largest = np.abs(loadings).argmax(axis=0)
    return loadings * np.sign(loadings[largest, np.arange(n_factors)])


def varimax(loadings: np.ndarray) -> np.ndarray:
    """Rotate loadings `(I, K)` so that each factor has few large ones, with Kaiser's normalisation of rows.

    Source: Kaiser (1958), Psychometrika 23, 187-200, by singular value decompositions.
    """
    lengths = np.linalg.norm(loadings, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    rows = loadings / lengths
    rotation = np.eye(loadings.shape[1])
    gain = 0.0
    for _ in range(1000):
        turned = rows @ rotation
        left, values, right = np.linalg.svd(rows.T @ (turned**3 - turned * np.square(turned).mean(axis=0)))
        rotation = left @ right
        if values.sum() <= gain * (1 + 1e-10):
            break
        gain = values.sum()
    return rows @ rotation * lengths


def congruence(loadings: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Tucker's congruence of every two factors: `(I, K)` and `(I, L)` to `(K, L)`, -1 to 1."""
    lengths = np.outer(np.linalg.norm(loadings, axis=0), np.linalg.norm(others, axis=0))
    return loadings.T @ others / np.maximum(lengths, 1e-12)


def matched(loadings: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Columns of `others` (as many) in the order and with the signs in which they match those of `loadings` best."""
    found = congruence(loadings, others)
    columns = linear_sum_assignment(-np.abs(found))[1]
    return others[:, columns] * np.sign(found[np.arange(len(columns)), columns])


def split_half_congruence(
    standardised: np.ndarray, model_loadings: np.ndarray, families: Sequence[object], n_splits: int, seed: int
) -> np.ndarray:
    """Congruence of each factor between two halves of the families, `(n_splits, K)`; NaN if a half is too small for K.

    Args:
        standardised: `(N, I)` without gaps.
        model_loadings: `(I, K)` of all participants; the halves' factors are matched to it.
        families: N labels; relatives are in one half.
        n_splits: random halvings.
        seed: of the halvings.
    """
    family_of = np.unique(np.asarray(families, dtype=str), return_inverse=True)[1]
    found = []
    for half in family_subsamples(family_of, n_splits, 0.5, seed):
        other = np.setdiff1d(np.arange(len(family_of)), half)
        n_factors = model_loadings.shape[1]
        if min(len(half), len(other)) <= n_factors:
            found.append(np.full(n_factors, np.nan))
            continue
        first, second = (
            matched(model_loadings, rotated_loadings(standardised[rows], n_factors, seed)) for rows in (half, other)
        )
        found.append(np.diag(congruence(first, second)))
    return np.array(found)


def factor_names(loadings: np.ndarray, labels: Sequence[str]) -> list[str]:
    """A name for each factor: its two items of largest loadings (0.4 at least), `low` before those that load negatively."""
    names = []
    for column in loadings.T:
        top = [item for item in np.argsort(-np.abs(column))[:2] if abs(column[item]) >= 0.4]
        top = top or [int(np.abs(column).argmax())]
        names.append(", ".join(("" if column[item] > 0 else "low ") + labels[item] for item in top))
    return names
