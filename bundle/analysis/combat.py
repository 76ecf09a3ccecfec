"""Take what scanners do out of embeddings or scores: ComBat, fitted on some participants and given to others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bundle.analysis.combat_estimates import axes_above_noise, shift_and_scale
from bundle.analysis.covariates import CovariateModel
from bundle.analysis.sites import Sites, check_not_confounded, check_sites


@dataclass(frozen=True)
class SiteModel:
    """Mean and spread that each site gives values along axes, beside what covariates do; `apply` takes both out.

    Along an axis, a participant's value is `centre + covariates + spread * (shift of the site + scale of the site * the participant's
    own)`. Shifts and scales are empirical Bayes estimates: those of one site are drawn towards each other, the more so the
    fewer participants it has. Off the axes, the plain mean of the site is regressed out, and one scale for all directions.

    Attributes:
        column: that names the sites.
        sites: S names, sorted; then those that were added by `calibrate_sites`.
        centre: `(E,)` mean of the values over participants, covariates aside.
        kept: what covariates do to the values; it is put back.
        axes: `(E, D)`, orthonormal columns; the identity, less values that are the same for all participants, if each value is one.
        spread: `(D,)` standard deviation within sites, covariates aside.
        shift: `(S, D)`, in units of spread.
        scale: `(S, D)`, 1 for a site whose participants spread as all do.
        rest: `(S, E)`, what is left of the site's mean off the axes.
        rest_scale: `(S,)`, how far its participants spread off the axes, 1 for as far as all do.
        on_axes: whether axes are principal axes.
        rest_length: root mean square of what is off the axes, within sites; 0 where nothing is.

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
    rest_scale: np.ndarray
    rest_length: float
    on_axes: bool

    @classmethod
    def fit(cls, values: np.ndarray, people: Sites, splines: bool = False, on_axes: bool = False) -> SiteModel:
        """Fit on participants' values `(N, E)`.

        Args:
            values: embeddings, or factor scores.
            people: their sites and what is kept.
            splines: kept covariates that are numbers enter as splines, not with their squares.
            on_axes: on the principal axes of what is left within sites, those that stand out of noise. Values of an embedding mean
                nothing one by one and move together, which the priors of ComBat do not know of.

        Raises:
            InputProblems: for missing sites, one site only, sites of fewer than 10 participants, covariates that cannot be used,
                or that say the same as sites.
        """
        check_sites(people.labels)
        covariates = CovariateModel.fit(values, people.kept, splines)
        check_not_confounded(people, covariates.design(people.kept))
        return cls.fit_unchecked(values, people, splines, on_axes)

    @classmethod
    def fit_unchecked(
        cls, values: np.ndarray, people: Sites, splines: bool = False, on_axes: bool = False
    ) -> SiteModel:
        """As `fit`, for a part of participants whom `fit` has taken."""
        covariates = CovariateModel.fit_unchecked(values, people.kept, splines)
        names = people.labels.to_numpy(dtype=str)
        sites, site_of = np.unique(names, return_inverse=True)
        member = np.eye(len(sites))[site_of]
        terms = np.column_stack([member, covariates.design(people.kept)])
        weights = np.linalg.lstsq(terms, values, rcond=None)[0]
        kept = replace(covariates, coefficients=weights[len(sites) :])
        centre = member.mean(axis=0) @ weights[: len(sites)]
        left = values - terms @ weights
        axes = axes_above_noise(left) if on_axes else np.eye(values.shape[1])
        spread = (left @ axes).std(axis=0)
        varies = spread > 1e-9 * np.abs(values).max()  # a value that is the same for all participants stays as it is
        axes, spread = axes[:, varies], spread[varies]
        own = (values - terms[:, len(sites) :] @ kept.coefficients - centre) @ axes / spread
        estimates = [shift_and_scale(own[site_of == number], not on_axes) for number in range(len(sites))]
        shift, scale = (np.stack(part) for part in zip(*estimates, strict=True))
        rest = _off(weights[: len(sites)] - centre, axes)
        model = cls(
            column=str(people.labels.name),
            sites=tuple(map(str, sites)),
            centre=centre,
            kept=kept,
            axes=axes,
            spread=spread,
            shift=shift,
            scale=scale,
            rest=rest,
            rest_scale=np.ones(len(sites)),
            rest_length=0.0,
            on_axes=on_axes,
        )
        lengths = np.square(_off(left, axes)).sum(axis=1)
        if lengths.mean() <= 1e-18 * np.square(values).max():
            return model
        by_site = np.bincount(site_of, lengths) / np.maximum(np.bincount(site_of) - 1, 1)
        length = float(np.sqrt(lengths.sum() / (len(values) - len(sites))))
        rest_scale = np.where(by_site > 0, np.sqrt(by_site) / length, 1.0)
        return replace(model, rest_scale=rest_scale, rest_length=length)

    @property
    def columns(self) -> list[str]:
        """Of the participants table, that `apply` needs: the site and the covariates that are kept."""
        return list(dict.fromkeys([self.column, *self.kept.columns]))

    def people(self, table: pd.DataFrame) -> Sites:
        """Sites of participants of a participants table with those columns."""
        labels = table[self.column]
        return Sites(labels.where(labels.isna(), labels.astype(str)), table[self.kept.columns])

    def apply(self, values: np.ndarray, people: Sites) -> np.ndarray:
        """Values `(N, E)` as if all sites were one; each participant's depend on no other participant's.

        Those of sites that `unseen` names stay as they are: do not trust them.
        """
        site_of = pd.Index(self.sites).get_indexer(people.labels.astype(str))  # -1, the row added below: unseen
        shift = np.vstack([self.shift, np.zeros_like(self.spread)])[site_of]
        scale = np.vstack([self.scale, np.ones_like(self.spread)])[site_of]
        rest = np.vstack([self.rest, np.zeros_like(self.centre)])[site_of]
        rest_scale = np.append(self.rest_scale, 1.0)[site_of][:, None]
        left = self.left_of(values, people)
        own = left @ self.axes / self.spread
        off = _off(left, self.axes)
        return values + (off - rest) / rest_scale - off + self.spread * ((own - shift) / scale - own) @ self.axes.T

    def unseen(self, labels: pd.Series) -> list[str]:
        """Sites that the model does not know, sorted."""
        return sorted(set(labels.dropna().astype(str)) - set(self.sites))

    def reasons_against(self, people: Sites) -> list[str]:
        """Per participant, why the model does not hold for them; empty where it does."""
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

    def with_site(self, name: str, left: np.ndarray) -> SiteModel:
        """With a further site, whose participants have the values `(n, E)` less centre and covariates; all else stays."""
        shift, scale = shift_and_scale(left @ self.axes / self.spread, not self.on_axes)
        off = _off(left, self.axes)
        length = np.square(off - off.mean(axis=0)).sum() / (len(left) - 1)
        return replace(
            self,
            sites=(*self.sites, name),
            shift=np.vstack([self.shift, shift]),
            scale=np.vstack([self.scale, scale]),
            rest=np.vstack([self.rest, off.mean(axis=0)]),
            rest_scale=np.append(self.rest_scale, np.sqrt(length) / self.rest_length if self.rest_length else 1.0),
        )

    def left_of(self, values: np.ndarray, people: Sites) -> np.ndarray:
        """What is left of values `(N, E)` without centre and covariates."""
        return self.kept.adjust(values, people.kept) - self.centre

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Numbers to be stored; with `facts` they give the model back."""
        return {name: getattr(self, name) for name in ARRAYS} | {"coefficients": self.kept.coefficients}

    def facts(self) -> dict[str, Any]:
        """Words to be stored, as JSON takes them."""
        return {
            "column": self.column,
            "sites": self.sites,
            "rest_length": self.rest_length,
            "on_axes": self.on_axes,
            **self.kept.facts(),
        }

    @classmethod
    def stored(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> SiteModel:
        """What `to_arrays` and `facts` gave."""
        return cls(
            facts["column"],
            tuple(facts["sites"]),
            kept=CovariateModel.stored(arrays["coefficients"], facts),
            rest_length=facts["rest_length"],
            on_axes=facts["on_axes"],
            **{name: arrays[name] for name in ARRAYS},
        )


ARRAYS = ("centre", "axes", "spread", "shift", "scale", "rest", "rest_scale")


def _off(values: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """What is left of `(..., E)` values beside the axes."""
    return values - values @ axes @ axes.T
