"""Assign people to strata that were found earlier, or to none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.covariance import LedoitWolf

from bundle.analysis.code_space import CodeSpace
from bundle.analysis.covariates import CovariateModel

NOT_ASSIGNED = "not assigned"
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
        distances: `(101,)` percentiles of the distances of the people it was fitted on.
        most_outside: largest length of a code outside the space.
        worst_reconstruction: largest reconstruction error; infinite if errors were not known.
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

    @property
    def n_strata(self) -> int:
        """K."""
        return len(self.exemplars)

    def assign(
        self, codes: np.ndarray, covariates: pd.DataFrame | None, reconstruction_errors: np.ndarray
    ) -> pd.DataFrame:
        """The stratum of each person.

        Args:
            codes: `(N, E)`.
            covariates: N rows with the model's columns; None if there is no model.
            reconstruction_errors: `(N,)`, as embedding writes them.

        Returns:
            N rows: `stratum` (1 .. K as text, or "not assigned"), `nearest_stratum`, `probability` (the share of
            clusterings of half the families whose nearest exemplar is of that stratum), `distance` (Mahalanobis, from
            the stratum's mean), `distance_percentile` (among the people the stratifier was fitted on) and `reason`.
        """
        adjusted = self._adjusted(codes, covariates)
        points = self.space.transform(adjusted)
        nearest = nearest_exemplar(points, self.exemplars)
        distances = mahalanobis(points, self.centres[nearest], self.precision)
        limit = 1 + TOLERANCE
        reasons = {
            "farther from its stratum than anybody the strata were found on": distances > limit * self.distances[-1],
            "a code unlike any that the strata were found on": self.space.distance_outside(adjusted)
            > limit * self.most_outside,
            "its images are reconstructed worse than anybody's": reconstruction_errors
            > limit * self.worst_reconstruction,
        }
        reason = ["; ".join(text for text, holds in reasons.items() if holds[row]) for row in range(len(codes))]
        return pd.DataFrame(
            {
                "stratum": [
                    NOT_ASSIGNED if why else str(label + 1) for why, label in zip(reason, nearest, strict=True)
                ],
                "nearest_stratum": nearest + 1,
                "probability": self._probabilities(points)[np.arange(len(points)), nearest],
                "distance": distances,
                "distance_percentile": np.interp(distances, self.distances, np.arange(101)),
                "reason": reason,
            }
        )

    def _adjusted(self, codes: np.ndarray, covariates: pd.DataFrame | None) -> np.ndarray:
        if self.covariates is None:
            return codes
        if covariates is None:
            raise ValueError(f"Expected covariates {', '.join(self.covariates.columns)}, got none.")
        return self.covariates.adjust(codes, covariates)

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
            # JSON knows no infinity
            "worst_reconstruction": self.worst_reconstruction if np.isfinite(self.worst_reconstruction) else None,
        }
        arrays = {name: getattr(self, name) for name in ARRAYS}
        arrays |= {name: getattr(self.space, name) for name in ("centre", "scale", "axes")}
        if self.covariates is not None:
            facts["numbers"], facts["levels"] = dict(self.covariates.numbers), dict(self.covariates.levels)
            arrays["coefficients"] = self.covariates.coefficients
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
            numbers = {name: (mean, deviation) for name, (mean, deviation) in facts["numbers"].items()}
            levels = {name: tuple(words) for name, words in facts["levels"].items()}
            covariates = CovariateModel(numbers, levels, arrays["coefficients"])
        worst = facts["worst_reconstruction"]
        return cls(
            facts["encoder_hash"],
            tuple(facts["modalities"]),
            facts["headline"],
            facts["p_value"],
            covariates,
            CodeSpace(arrays["centre"], arrays["scale"], arrays["axes"], facts["explained"]),
            most_outside=facts["most_outside"],
            worst_reconstruction=np.inf if worst is None else worst,
            **{name: arrays[name] for name in ARRAYS},
        )


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
