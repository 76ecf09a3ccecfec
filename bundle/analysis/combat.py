"""Take what scanners do out of codes or scores: ComBat, fitted on some people and given to others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.extmath import randomized_svd

from bundle.analysis.covariates import MIN_LEVEL, CovariateModel
from bundle.data.problems import InputProblems

MIN_SITE = MIN_LEVEL
"""People of a site at least: a mean and a spread have to be told from what these people are like."""
ROUNDS, CONVERGED = 200, 1e-6
MOST_AXES, PEOPLE_PER_AXIS = 50, 10
LEAST_VALUES = 3
"""Values per person that a prior can be estimated from."""


@dataclass(frozen=True)
class Sites:
    """Where people were scanned, and what of them harmonising must not take away.

    Attributes:
        labels: N names of sites, as text; the series is named after their column.
        kept: N rows of covariates, such as age and sex; it may have no columns.
    """

    labels: pd.Series
    kept: pd.DataFrame

    def part(self, rows: np.ndarray) -> Sites:
        """Some of the people."""
        return Sites(self.labels.iloc[rows], self.kept.iloc[rows])

    @property
    def indicators(self) -> np.ndarray:
        """`(N, S - 1)`, one column per site but the first."""
        names = self.labels.to_numpy(dtype=str)
        return (names[:, None] == np.unique(names)[1:]).astype(float)


@dataclass(frozen=True)
class SiteModel:
    """Mean and spread that each site gives values along axes, beside what covariates do; `apply` takes both out.

    Along an axis, a person's value is `centre + covariates + spread * (shift of the site + scale of the site * the person's
    own)`. Shifts and scales are empirical Bayes estimates: those of one site are drawn towards each other, the more so the
    fewer people it has. Off the axes, the plain mean of the site is taken out.

    Attributes:
        column: that names the sites.
        sites: S names, sorted; then those that were added by `calibrated`.
        centre: `(E,)` mean of the values over people, covariates aside.
        kept: what covariates do to the values; it is put back.
        axes: `(E, D)`, orthonormal columns; the identity, less values that are the same for everybody, if each value is one.
        spread: `(D,)` standard deviation within sites, covariates aside.
        shift: `(S, D)`, in units of spread.
        scale: `(S, D)`, 1 for a site whose people spread as all do.
        rest: `(S, E)`, what is left of the site's mean off the axes.

    Source: Johnson, Li and Rabinovic (2007), Biostatistics 8, 118-127, section 3; Fortin et al. (2018), NeuroImage 167,
    104-120, for covariates; axes instead of single values are ours (docs/sites.md).
    """

    column: str
    sites: tuple[str, ...]
    centre: np.ndarray
    kept: CovariateModel
    axes: np.ndarray
    spread: np.ndarray
    shift: np.ndarray
    scale: np.ndarray
    rest: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, people: Sites, splines: bool = False, on_axes: bool = False) -> SiteModel:
        """Fit on people's values `(N, E)`.

        Args:
            values: codes, or factor scores.
            people: their sites and what is kept.
            splines: kept covariates that are numbers enter as splines, not with their squares.
            on_axes: on the principal axes of what is left within sites, up to 50 and one for ten people. Values of a code
                mean nothing one by one and move together, which the priors of ComBat do not know of.

        Raises:
            InputProblems: for missing sites, one site only, sites of fewer than 10 people, covariates that cannot be used,
                or that say the same as sites.
        """
        column, labels = people.labels.name, people.labels
        problems = [f"{person}: no {column}." for person in labels.index[labels.isna()]]
        sizes = labels.value_counts()
        if len(sizes) < 2:
            problems.append(f"{column}: expected two sites or more, got {', '.join(sizes.index) or 'none'}.")
        problems += [
            f"{column} {name}: {count} {'person' if count == 1 else 'people'}; {MIN_SITE} are needed: leave them out, or "
            "name sites together whose scanner and protocol are the same."
            for name, count in sizes.sort_index().items()
            if count < MIN_SITE and len(sizes) > 1
        ]
        if problems:
            raise InputProblems("Sites", problems)
        covariates = CovariateModel.fit(values, people.kept, splines)
        terms = np.column_stack([np.ones(len(values)), people.indicators])
        both = np.column_stack([terms, covariates.design(people.kept)])
        if np.linalg.matrix_rank(both) < both.shape[1]:
            problem = (
                f"{column} and {', '.join(map(str, people.kept))} say the same (one follows from the others), so what the "
                "scanner does cannot be told from what they do. No harmonising can mend that: analyse sites one by one."
            )
            raise InputProblems("Sites", [problem])
        return cls.fit_unchecked(values, people, splines, on_axes)

    @classmethod
    def fit_unchecked(
        cls, values: np.ndarray, people: Sites, splines: bool = False, on_axes: bool = False
    ) -> SiteModel:
        """As `fit`, for a part of people whom `fit` has taken."""
        covariates = CovariateModel.fit_unchecked(values, people.kept, splines)
        names = people.labels.to_numpy(dtype=str)
        sites, site_of = np.unique(names, return_inverse=True)
        member = np.eye(len(sites))[site_of]
        terms = np.column_stack([member, covariates.design(people.kept)])
        weights = np.linalg.lstsq(terms, values, rcond=None)[0]
        kept = replace(covariates, coefficients=weights[len(sites) :])
        centre = member.mean(axis=0) @ weights[: len(sites)]
        left = values - terms @ weights
        axes = np.eye(values.shape[1])
        if on_axes:
            n_axes = max(1, min(MOST_AXES, len(values) // PEOPLE_PER_AXIS, values.shape[1]))
            axes = randomized_svd(left, n_axes, random_state=0)[2].T
        spread = (left @ axes).std(axis=0)
        varies = spread > 1e-9 * np.abs(values).max()  # a value that is the same for everybody stays as it is
        axes, spread = axes[:, varies], spread[varies]
        own = (values - terms[:, len(sites) :] @ kept.coefficients - centre) @ axes / spread
        estimates = [shift_and_scale(own[site_of == number]) for number in range(len(sites))]
        shift, scale = (np.stack(part) for part in zip(*estimates, strict=True))
        rest = _off(weights[: len(sites)] - centre, axes)
        return cls(str(people.labels.name), tuple(map(str, sites)), centre, kept, axes, spread, shift, scale, rest)

    @property
    def columns(self) -> list[str]:
        """Of the participants table, that `apply` needs: the site and the covariates that are kept."""
        return list(dict.fromkeys([self.column, *self.kept.columns]))

    def people(self, table: pd.DataFrame) -> Sites:
        """Sites of people of a participants table with those columns."""
        labels = table[self.column]
        return Sites(labels.where(labels.isna(), labels.astype(str)), table[self.kept.columns])

    def apply(self, values: np.ndarray, people: Sites) -> np.ndarray:
        """Values `(N, E)` as if all sites were one; each person's depend on nobody else's.

        Those of sites that `unseen` names stay as they are: do not trust them.
        """
        site_of = pd.Index(self.sites).get_indexer(people.labels.astype(str))  # -1, the row added below: unseen
        shift = np.vstack([self.shift, np.zeros_like(self.spread)])[site_of]
        scale = np.vstack([self.scale, np.ones_like(self.spread)])[site_of]
        rest = np.vstack([self.rest, np.zeros_like(self.centre)])[site_of]
        own = self._left(values, people) @ self.axes / self.spread
        return values - rest + self.spread * ((own - shift) / scale - own) @ self.axes.T

    def unseen(self, labels: pd.Series) -> list[str]:
        """Sites that the model does not know, sorted."""
        return sorted(set(labels.dropna().astype(str)) - set(self.sites))

    def reasons_against(self, people: Sites) -> list[str]:
        """Per person, why the model does not hold for them; empty where it does."""
        known = ", ".join(self.sites)
        reasons = [
            ""
            if label in self.sites
            else f"no {self.column}"
            if pd.isna(label)
            else f"{self.column} {label} is none of {known}"
            for label in people.labels
        ]
        kept = self.kept.reasons_against(people.kept)
        return ["; ".join(filter(None, pair)) for pair in zip(reasons, kept, strict=True)]

    def calibrated(self, values: np.ndarray, people: Sites) -> SiteModel:
        """With further sites, from people of those; sites that are known stay as they are.

        Centre, spread and covariates stay those of the first fit, so nobody who was harmonised before changes.

        Raises:
            InputProblems: for sites of fewer than 10 people, and people whom the covariates do not hold for.
        """
        labels = people.labels.astype(str)
        new = self.unseen(people.labels)
        problems = []
        for name in new:
            count = int((labels == name).sum())
            if count < MIN_SITE:
                problems.append(f"{self.column} {name}: {count} people to calibrate it with; {MIN_SITE} are needed.")
        is_new = labels.isin(new).to_numpy()
        reasons = self.kept.reasons_against(people.kept)
        problems += [
            f"{name}: {reason}: leave this person out of the calibration set."
            for name, reason, used in zip(people.labels.index, reasons, is_new, strict=True)
            if reason and used
        ]
        if problems:
            raise InputProblems("Calibration set", problems)
        left = self._left(values, people)
        members = [(labels == name).to_numpy() for name in new]
        estimates = [shift_and_scale(left[own] @ self.axes / self.spread) for own in members]
        return replace(
            self,
            sites=(*self.sites, *new),
            shift=np.vstack([self.shift, *(shift for shift, _ in estimates)]),
            scale=np.vstack([self.scale, *(scale for _, scale in estimates)]),
            rest=np.vstack([self.rest, *(_off(left[own].mean(axis=0), self.axes) for own in members)]),
        )

    def _left(self, values: np.ndarray, people: Sites) -> np.ndarray:
        """Values `(N, E)` less centre and covariates."""
        return self.kept.adjust(values, people.kept) - self.centre

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Numbers to be stored; with `facts` they give the model back."""
        return {name: getattr(self, name) for name in ARRAYS} | {"coefficients": self.kept.coefficients}

    def facts(self) -> dict[str, Any]:
        """Words to be stored, as JSON takes them."""
        kept = self.kept
        return {"column": self.column, "sites": self.sites, "numbers": dict(kept.numbers), "levels": dict(kept.levels)}

    @classmethod
    def stored(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> SiteModel:
        """What `to_arrays` and `facts` gave."""
        numbers = {name: tuple(values) for name, values in facts["numbers"].items()}
        levels = {name: tuple(words) for name, words in facts["levels"].items()}
        kept = CovariateModel(numbers, levels, arrays["coefficients"])
        return cls(facts["column"], tuple(facts["sites"]), kept=kept, **{name: arrays[name] for name in ARRAYS})


ARRAYS = ("centre", "axes", "spread", "shift", "scale", "rest")


def _off(values: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """What is left of `(..., E)` values beside the axes."""
    return values - values @ axes @ axes.T


def shift_and_scale(own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Empirical Bayes mean and standard deviation `(E,)` of one site's people `(n, E)`.

    The prior of the E means is a normal distribution, that of the variances an inverse gamma; both have the moments of the
    site's own E estimates. With fewer than three values there is nothing to learn a prior from: means and deviations are
    then the plain ones.

    Source: Johnson, Li and Rabinovic (2007), equations 3.1 to 3.3.
    """
    count = len(own)
    mean = own.mean(axis=0)
    variance = own.var(axis=0, ddof=1) if count > 1 else np.ones_like(mean)
    of_variances = float(variance.var(ddof=1)) if len(mean) >= LEAST_VALUES else 0.0
    if of_variances <= 1e-12 or mean.var(ddof=1) <= 1e-12:
        return mean, np.sqrt(np.where(variance > 0, variance, 1.0))
    prior_mean, prior_variance = mean.mean(), mean.var(ddof=1)
    middle = variance.mean()
    shape = 2 + middle**2 / of_variances
    rate = middle * (1 + middle**2 / of_variances)
    shift, scale = mean, variance
    for _ in range(ROUNDS):
        new_shift = (count * prior_variance * mean + scale * prior_mean) / (count * prior_variance + scale)
        squares = (count - 1) * variance + count * (mean - new_shift) ** 2
        new_scale = (rate + squares / 2) / (count / 2 + shape - 1)
        moved = max(np.abs(new_shift - shift).max(), np.abs(new_scale - scale).max())
        shift, scale = new_shift, new_scale
        if moved < CONVERGED:
            break
    return shift, np.sqrt(scale)
