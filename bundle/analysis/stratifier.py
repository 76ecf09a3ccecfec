"""Assign people to strata that were found earlier, or to none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.covariance import LedoitWolf
from sklearn.model_selection import GroupKFold

from bundle.analysis.code_space import CodeSpace
from bundle.analysis.combat import SiteModel
from bundle.analysis.covariates import CovariateModel
from bundle.analysis.sites import Sites
from bundle.data.problems import InputProblems

NOT_ASSIGNED = "not assigned"
NO_STRATA = "no discrete strata"
"""The word for those who are like the people of a cohort without strata."""
TOLERANCE = 1e-3
"""Relative slack on what training saw: float32 codes differ a little between machines."""


@dataclass(frozen=True)
class Stratifier:
    """All that assignment needs, and nobody's name or code.

    Attributes:
        encoder_hash: of the encoder whose codes these are.
        modalities: of that encoder.
        headline: what clustering found.
        p_value: of the test against cohorts without strata.
        covariates: model that is taken out first; None if there is none.
        space: the few dimensions that distances are measured in.
        exemplars: `(K, D)`, of stratum 1 .. K.
        votes: `(V, D)` exemplars of clusterings of half the families.
        vote_strata: `(V,)` the stratum 0 .. K-1 that each of these stands for.
        vote_ballots: `(V,)` the clustering 0 .. B-1 that each of these is of.
        centres: `(K, D)` means of the strata.
        precision: `(D, D)` inverse of the covariance within strata.
        distances: `(101,)` percentiles of the distances of the people it was fitted on, each measured by a model that
            had not seen them; the last is the largest by either.
        most_outside: largest length of a code outside the space, in the same way.
        worst_reconstruction: largest reconstruction error.
        sites: model that codes are harmonised by before anything else; None if they are not.
    """

    encoder_hash: str
    modalities: tuple[str, ...]
    headline: str
    p_value: float
    covariates: CovariateModel | None
    space: CodeSpace
    exemplars: np.ndarray
    votes: np.ndarray
    vote_strata: np.ndarray
    vote_ballots: np.ndarray
    centres: np.ndarray
    precision: np.ndarray
    distances: np.ndarray
    most_outside: float
    worst_reconstruction: float
    sites: SiteModel | None = None

    @property
    def columns(self) -> list[str]:
        """Of the participants table, that `assign` needs."""
        models = [model for model in (self.sites, self.covariates) if model is not None]
        return list(dict.fromkeys(column for model in models for column in model.columns))

    @property
    def categories(self) -> list[str]:
        """Those of `columns` that hold words, even if numbers code them."""
        words = [] if self.sites is None else [self.sites.column, *self.sites.kept.levels]
        return list(dict.fromkeys([*words, *([] if self.covariates is None else self.covariates.levels)]))

    @property
    def n_strata(self) -> int:
        """K; 1 if no discrete strata were found."""
        return len(self.exemplars)

    @property
    def has_strata(self) -> bool:
        """Whether there is more than one."""
        return self.n_strata > 1

    def assign(self, codes: np.ndarray, people: pd.DataFrame | None, reconstruction_errors: np.ndarray) -> pd.DataFrame:
        """The stratum of each person.

        Args:
            codes: `(N, E)`.
            people: N rows with `columns`; None if there are none.
            reconstruction_errors: `(N,)`, as embedding writes them.

        Returns:
            N rows: `stratum` (1 .. K as text, or "not assigned"), `nearest_stratum`, `probability` (the share of
            clusterings of half the families whose nearest exemplar is of that stratum), `most_probable_stratum` (by
            the same votes; where there are no strata, the first is "no discrete strata" and these three are missing), `distance` (Mahalanobis, from the stratum's mean), `distance_percentile` (among the people
            the strata were found on) and `reason`, why somebody is not assigned.
        """
        adjusted, reasons = codes, [""] * len(codes)
        if people is None and self.columns:
            raise InputProblems("Covariates", [f"Expected {', '.join(self.columns)}, got none."])
        if self.sites is not None and people is not None:
            known = self.sites.people(people)
            adjusted, reasons = self.sites.apply(adjusted, known), self.sites.reasons_against(known)
        if self.covariates is not None and people is not None:
            adjusted = self.covariates.adjust(adjusted, people)
            against = self.covariates.reasons_against(people)
            reasons = [
                "; ".join(dict.fromkeys(part for text in pair for part in text.split("; ") if part))
                for pair in zip(reasons, against, strict=True)
            ]
        points = self.space.transform(adjusted)
        nearest = nearest_exemplar(points, self.exemplars)
        shares = self._probabilities(points)
        distances = mahalanobis(points, self.centres[nearest], self.precision)
        limit = 1 + TOLERANCE
        unlike = {
            f"farther from {'its stratum' if self.has_strata else 'the mean'} than anybody the strata were found on": distances
            > limit * self.distances[-1],
            "a code unlike any that the strata were found on": self.space.distance_outside(adjusted)
            > limit * self.most_outside,
            "its images are reconstructed worse than anybody's": reconstruction_errors
            > limit * self.worst_reconstruction,
        }
        for text, holds in unlike.items():
            reasons = [
                "; ".join(filter(None, [reason, text])) if is_so else reason
                for reason, is_so in zip(reasons, holds, strict=True)
            ]
        words = [str(label + 1) if self.has_strata else NO_STRATA for label in nearest]
        return pd.DataFrame(
            {
                "stratum": [NOT_ASSIGNED if reason else word for reason, word in zip(reasons, words, strict=True)],
                "nearest_stratum": nearest + 1 if self.has_strata else None,
                "probability": shares[np.arange(len(points)), nearest] if self.has_strata else None,
                "most_probable_stratum": shares.argmax(axis=1) + 1 if self.has_strata else None,
                "distance": distances,
                "distance_percentile": np.interp(distances, self.distances, np.arange(101)),
                "reason": reasons,
            }
        )

    def _probabilities(self, points: np.ndarray) -> np.ndarray:
        """Share of ballots for each stratum, `(N, K)`."""
        shares = np.zeros((len(points), self.n_strata))
        ballots = np.unique(self.vote_ballots)
        for ballot in ballots:
            rows = np.flatnonzero(self.vote_ballots == ballot)
            chosen = self.vote_strata[rows[nearest_exemplar(points, self.votes[rows])]]
            shares[np.arange(len(points)), chosen] += 1 / len(ballots)
        return shares

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Plain arrays for one `.npz` file; facts and the covariate model's words as JSON text."""
        facts: dict[str, Any] = {
            "encoder_hash": self.encoder_hash,
            "modalities": self.modalities,
            "headline": self.headline,
            "p_value": self.p_value,
            "explained": self.space.explained,
            "most_outside": self.most_outside,
            "worst_reconstruction": self.worst_reconstruction,
        }
        arrays = {name: getattr(self, name) for name in ARRAYS}
        arrays |= {name: getattr(self.space, name) for name in ("centre", "scale", "axes")}
        if self.covariates is not None:
            facts["numbers"], facts["levels"] = dict(self.covariates.numbers), dict(self.covariates.levels)
            arrays["coefficients"] = self.covariates.coefficients
        if self.sites is not None:
            facts["sites"] = self.sites.facts()
            arrays |= {f"{SITES}{name}": values for name, values in self.sites.to_arrays().items()}
        return arrays | {"facts": np.array(json.dumps(facts))}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Stratifier:
        """What `to_arrays` gave.

        Raises:
            KeyError: if something is not there.
        """
        facts = json.loads(str(arrays["facts"]))
        covariates = None
        if "coefficients" in arrays:
            numbers = {name: tuple(values) for name, values in facts["numbers"].items()}
            levels = {name: tuple(words) for name, words in facts["levels"].items()}
            covariates = CovariateModel(numbers, levels, arrays["coefficients"])
        sites = None
        if "sites" in facts:
            own = {name.removeprefix(SITES): arrays[name] for name in arrays if name.startswith(SITES)}
            sites = SiteModel.stored(own, facts["sites"])
        return cls(
            encoder_hash=facts["encoder_hash"],
            modalities=tuple(facts["modalities"]),
            headline=facts["headline"],
            p_value=facts["p_value"],
            covariates=covariates,
            space=CodeSpace(arrays["centre"], arrays["scale"], arrays["axes"], facts["explained"]),
            most_outside=facts["most_outside"],
            worst_reconstruction=facts["worst_reconstruction"],
            sites=sites,
            **{name: arrays[name] for name in ARRAYS},
        )


SITES = "sites_"
ARRAYS = ("exemplars", "votes", "vote_strata", "vote_ballots", "centres", "precision", "distances")


def nearest_exemplar(points: np.ndarray, exemplars: np.ndarray) -> np.ndarray:
    """Row of the nearest of `(K, D)` exemplars for each of `(N, D)` points, `(N,)`."""
    return (np.square(exemplars).sum(axis=1) - 2 * points @ exemplars.T).argmin(axis=1)


def within_strata(points: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of strata `(K, D)` and the inverse of their pooled, shrunk covariance `(D, D)`.

    Source: Ledoit and Wolf (2004), J. Multivariate Analysis 88, 365-411.
    """
    centres = np.stack([points[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    pooled = LedoitWolf(assume_centered=True).fit(points - centres[labels])
    return centres, pooled.precision_


def held_out_distances(
    codes: np.ndarray,
    covariates: pd.DataFrame | None,
    families: Sequence[object],
    labels: np.ndarray,
    space: CodeSpace,
    reduce: bool,
    splines: bool,
    sites: Sites | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Distances of people from their stratum and from the space, by models that did not see their family.

    Those by the model that was fitted on them are too small: the more so the more values a code has.

    Args:
        codes: `(N, E)`.
        covariates: N rows, or None.
        families: N labels; five folds of whole families.
        labels: `(N,)` strata.
        space: that was fitted on everybody; folds get its number of dimensions and its scaling.
        reduce: whether it is reduced.
        splines: see `CovariateModel.fit`.
        sites: what codes are harmonised by first, or None.

    Returns:
        Mahalanobis distance from the own stratum's mean `(N,)`, and length outside the space `(N,)`.
    """
    distances, outside = np.zeros(len(codes)), np.zeros(len(codes))
    standardise = bool((space.scale != 1).any())
    for seen, held_out in GroupKFold(5, shuffle=True, random_state=0).split(codes, groups=families):
        own, new = codes[seen], codes[held_out]
        if sites is not None:
            harmoniser = SiteModel.fit_unchecked(own, sites.part(seen), splines, on_axes=True)
            own, new = harmoniser.apply(own, sites.part(seen)), harmoniser.apply(new, sites.part(held_out))
        if covariates is not None:
            model = CovariateModel.fit_unchecked(own, covariates.iloc[seen], splines)
            own = model.adjust(own, covariates.iloc[seen])
            new = model.adjust(new, covariates.iloc[held_out])
        part = CodeSpace.fit(own, standardise, reduce, seed=0, rank=space.n_dimensions)
        strata, dense = np.unique(labels[seen], return_inverse=True)
        centres, precision = within_strata(part.transform(own), dense)
        # a stratum that is in no other fold is measured from the nearest one's mean
        column = np.searchsorted(strata, labels[held_out]).clip(max=len(strata) - 1)
        distances[held_out] = mahalanobis(part.transform(new), centres[column], precision)
        outside[held_out] = part.distance_outside(new)
    return distances, outside


def mahalanobis(points: np.ndarray, centres: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Distances of `(N, D)` points from their centres `(N, D)`, `(N,)`."""
    difference = points - centres
    return np.sqrt(np.maximum(np.einsum("nd,de,ne->n", difference, precision, difference), 0))


def match_to_strata(labels: np.ndarray, found: np.ndarray, n_found: int, n_strata: int) -> np.ndarray:
    """The stratum that most members of each found cluster are of, `(n_found,)`.

    Args:
        labels: `(N,)` strata.
        found: `(N,)` clusters of the same people.
        n_found: number of clusters.
        n_strata: number of strata.
    """
    table = np.zeros((n_found, n_strata))
    np.add.at(table, (found, labels), 1)
    return table.argmax(axis=1)


def by_size(labels: np.ndarray, exemplars: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number clusters from the largest to the smallest; ties keep their order."""
    order = np.argsort(-np.bincount(labels, minlength=len(exemplars)), kind="stable")
    rank = np.empty(len(order), dtype=int)
    rank[order] = np.arange(len(order))
    return rank[labels], np.asarray(exemplars)[order]
