"""Assign participants to strata that were found earlier, or to none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bundle.analysis.code_space import CodeSpace
from bundle.analysis.combat import SiteModel
from bundle.analysis.covariates import CovariateModel
from bundle.analysis.discriminant import most_probable
from bundle.analysis.stratum_distances import mahalanobis
from bundle.data.problems import InputProblems

NOT_ASSIGNED = "not assigned"
NO_STRATA = "no discrete strata"
"""The word for those who are like the participants of a cohort without strata."""
TOLERANCE = 1e-3
"""Relative slack on what training saw: float32 embeddings differ a little between machines."""


@dataclass(frozen=True)
class Stratifier:
    """All that assignment needs: means and shares of clusters, and no participant's name or place.

    Attributes:
        encoder_hash: of the encoder whose embeddings these are.
        modalities: of that encoder.
        headline: what clustering found.
        p_value: of the test against cohorts without strata.
        covariates: model that is regressed out first; None if there is none.
        space: the few dimensions that distances are measured in.
        shares: `(K,)` of the participants of stratum 1 .. K.
        votes: `(V, D)` means of clusters that half of the families fell into, again and again.
        vote_shares: `(V,)` of the participants of each of these clusters.
        vote_strata: `(V,)` the stratum 0 .. K-1 that each of these stands for.
        vote_ballots: `(V,)` the clustering 0 .. B-1 that each of these is of.
        centres: `(K, D)` means of the strata.
        precision: `(D, D)` inverse of the covariance within strata.
        distances: `(101,)` percentiles of the distances of the participants it was fitted on, each measured by a model that
            had not seen them; the last is the largest by either.
        most_outside: largest length of an embedding outside the space, in the same way.
        worst_reconstruction: largest reconstruction error.
        sites: model that embeddings are harmonised by before anything else; None if they are not.
        made_from: the sets of maps that the embeddings were made from, such as `T1w+FA`; empty if that is not known.
    """

    encoder_hash: str
    modalities: tuple[str, ...]
    headline: str
    p_value: float
    covariates: CovariateModel | None
    space: CodeSpace
    shares: np.ndarray
    votes: np.ndarray
    vote_shares: np.ndarray
    vote_strata: np.ndarray
    vote_ballots: np.ndarray
    centres: np.ndarray
    precision: np.ndarray
    distances: np.ndarray
    most_outside: float
    worst_reconstruction: float
    sites: SiteModel | None = None
    made_from: tuple[str, ...] = ()

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
        return len(self.centres)

    @property
    def has_strata(self) -> bool:
        """Whether there is more than one."""
        return self.n_strata > 1

    def assign(
        self,
        codes: np.ndarray,
        people: pd.DataFrame | None,
        reconstruction_errors: np.ndarray,
        inputs: Sequence[str] = (),
    ) -> pd.DataFrame:
        """The stratum of each participant.

        Args:
            codes: `(N, E)`.
            people: N rows with `columns`; None if there are none.
            reconstruction_errors: `(N,)`, as embedding writes them.
            inputs: of each, the maps that the embedding was made from; no participant is held to that if empty.

        Returns:
            N rows: `stratum` (1 .. K as text, or "not assigned"), `nearest_stratum`, `probability` (the share of
            clusterings of half the families whose most probable cluster is of that stratum), `most_probable_stratum` (by
            the same votes; where there are no strata, the first is "no discrete strata" and these three are missing),
            `distance` (Mahalanobis, from the stratum's mean), `distance_percentile` (among the participants the strata were
            found on) and `reason`, why a participant is not assigned.
        """
        adjusted, reasons = codes, self._other_maps(inputs) if self.made_from and inputs else [""] * len(codes)
        if people is None and self.columns:
            raise InputProblems("Covariates", [f"Expected {', '.join(self.columns)}, got none."])
        if self.sites is not None and people is not None:
            known = self.sites.people(people)
            adjusted, reasons = self.sites.apply(adjusted, known), _joined(reasons, self.sites.reasons_against(known))
        if self.covariates is not None and people is not None:
            adjusted = self.covariates.adjust(adjusted, people)
            reasons = _joined(reasons, self.covariates.reasons_against(people))
        points = self.space.transform(adjusted)
        nearest = most_probable(points, self.centres, self.precision, self.shares)
        shares = self._probabilities(points)
        distances = mahalanobis(points, self.centres[nearest], self.precision)
        limit = 1 + TOLERANCE
        unlike = {
            f"farther from {'its stratum' if self.has_strata else 'the mean'} than anybody the strata were found on": distances
            > limit * self.distances[-1],
            "an embedding unlike any that the strata were found on": self.space.distance_outside(adjusted)
            > limit * self.most_outside,
            "its images are reconstructed worse than anybody's": reconstruction_errors
            > limit * self.worst_reconstruction,
        }
        for text, holds in unlike.items():
            reasons = _joined(reasons, [text if is_so else "" for is_so in holds])
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

    def _other_maps(self, inputs: Sequence[str]) -> list[str]:
        known = " or ".join(self.made_from)
        return [
            ""
            if own in self.made_from
            else f"an embedding made from {own}, where the strata were found on embeddings of {known}"
            for own in inputs
        ]

    def _probabilities(self, points: np.ndarray) -> np.ndarray:
        """Share of ballots for each stratum, `(N, K)`."""
        shares = np.zeros((len(points), self.n_strata))
        ballots = np.unique(self.vote_ballots)
        for ballot in ballots:
            rows = np.flatnonzero(self.vote_ballots == ballot)
            own = most_probable(points, self.votes[rows], self.precision, self.vote_shares[rows])
            chosen = self.vote_strata[rows[own]]
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
            "made_from": self.made_from,
        }
        arrays = {name: getattr(self, name) for name in ARRAYS}
        arrays |= {name: getattr(self.space, name) for name in ("centre", "scale", "axes")}
        if self.covariates is not None:
            facts |= self.covariates.facts()
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
            covariates = CovariateModel.stored(arrays["coefficients"], facts)
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
            made_from=tuple(facts.get("made_from", ())),
            **{name: arrays[name] for name in ARRAYS},
        )


def _joined(reasons: Sequence[str], more: Sequence[str]) -> list[str]:
    """Both, for each participant, each part once."""
    pairs = zip(reasons, more, strict=True)
    return ["; ".join(dict.fromkeys(part for text in pair for part in text.split("; ") if part)) for pair in pairs]


SITES = "sites_"
ARRAYS = ("shares", "votes", "vote_shares", "vote_strata", "vote_ballots", "centres", "precision", "distances")
