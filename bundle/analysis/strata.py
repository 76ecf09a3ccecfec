"""Strata that were found, or the finding that there are none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bundle.analysis.ballots import Ballots
from bundle.analysis.cluster_choice import Choice
from bundle.analysis.code_space import CodeSpace
from bundle.analysis.combat import SiteModel
from bundle.analysis.covariates import CovariateModel
from bundle.analysis.discriminant import Discriminant
from bundle.analysis.power import Power
from bundle.analysis.strata_null import NullTest
from bundle.analysis.strata_settings import StrataSettings
from bundle.analysis.stratifier import Stratifier
from bundle.analysis.stratum_distances import mahalanobis
from bundle.data.embedding_table import EmbeddingTable


@dataclass(frozen=True)
class Strata:
    """What was found.

    Attributes:
        labels: `(N,)` strata 0 .. K-1, largest first; all 0 if there are none.
        exemplars: `(K,)` rows of the participants nearest to the means.
        candidate_labels: `(N,)` the chosen partition, also if it is no clearer than chance.
        points: `(N, D)` in the space.
        distances: `(N,)` Mahalanobis distance from the own stratum's mean, by models that did not see the participant.
        outside: `(N,)` length of what the space leaves out of each embedding, likewise, or by the space itself if larger.
        numbers: `(K,)` the number that each cluster of the choice has in `candidate_labels`; empty without one.
        outlying: `(N,)` participants who were set aside before the choice, see `outlying_people`.
        space: see `CodeSpace`.
        covariates: the model that was regressed out, or None.
        sites: the model that embeddings were harmonised by before that, or None.
        choice: candidates with their stability.
        test: the choice against cohorts without strata.
        ballots: of the strata.
        silhouettes: `(N,)`, of the strata; NaN if there are none.
        power: how often strata would be found in such a cohort; None: not simulated.
        others: what other methods make of the participants of the choice.
        hubness: of the points.
        effective_rank: of the embeddings.
        notes: what a reader should know about this run.
        settings: as given.
    """

    labels: np.ndarray
    exemplars: np.ndarray
    candidate_labels: np.ndarray
    points: np.ndarray
    distances: np.ndarray
    outside: np.ndarray
    numbers: np.ndarray
    outlying: np.ndarray
    space: CodeSpace
    covariates: CovariateModel | None
    sites: SiteModel | None
    choice: Choice
    test: NullTest
    ballots: Ballots
    silhouettes: np.ndarray
    power: Power | None
    others: pd.DataFrame
    hubness: float
    effective_rank: float
    notes: list[str]
    settings: StrataSettings

    @property
    def n_strata(self) -> int:
        """K; 1 if no discrete strata were found."""
        return len(self.exemplars)

    @property
    def headline(self) -> str:
        """The finding in one line."""
        p_value = self.test.p_value
        if self.n_strata > 1:
            return f"{self.n_strata} strata (p = {p_value:.3g})"
        if self.choice.chosen is None:
            return f"no discrete strata found (p = {p_value:.3g}; no number of clusters is stable)"
        if p_value <= self.settings.significance:
            where = f"unlike one Gaussian cloud, p = {p_value:.3g}, but {self._why_no_gaps()}: a continuum"
            return f"no discrete strata found ({where})"
        tried = self.choice.chosen.n_clusters
        return f"no discrete strata found (p = {p_value:.3g}; the chosen partition had {tried} clusters)"

    @property
    def choice_pairs(self) -> list[tuple[int, int]]:
        """Pairs of the choice's neighbouring clusters, by the numbers of `candidate_labels`."""
        return [self._numbered(pair) for pair in self.choice.chosen.pairs] if self.choice.chosen else []

    def _numbered(self, pair: tuple[int, int]) -> tuple[int, int]:
        one, other = sorted(int(self.numbers[number]) for number in pair)
        return one, other

    def _why_no_gaps(self) -> str:
        chosen = self.choice.chosen
        borders = chosen.border_agreement if chosen else None
        if borders is not None and borders < self.settings.choice.least_agreement:
            return "its borders move when there are more clusters"
        pairs = ", ".join(f"{one + 1} and {other + 1}" for one, other in map(self._numbered, self.choice.without_gap))
        return f"no gap between clusters {pairs}" if pairs else "no clear gaps"


def stratifier_of(found: Strata, table: EmbeddingTable) -> Stratifier:
    """What assignment of new participants needs, from what was found."""
    model = Discriminant.fit(found.points, found.labels)
    in_sample = mahalanobis(found.points, model.centres[found.labels], model.precision)
    distances = np.percentile(found.distances, np.arange(101))
    distances[-1] = max(distances[-1], in_sample.max())
    return Stratifier(
        encoder_hash=table.encoder_hash,
        modalities=table.modalities,
        headline=found.headline,
        p_value=found.test.p_value,
        covariates=found.covariates,
        space=found.space,
        shares=model.shares,
        votes=found.ballots.votes,
        vote_shares=found.ballots.shares,
        vote_strata=found.ballots.strata,
        vote_ballots=found.ballots.numbers,
        centres=model.centres,
        precision=model.precision,
        distances=distances,
        most_outside=float(found.outside.max()),
        worst_reconstruction=float(table.reconstruction_errors.max()),
        sites=found.sites,
        made_from=tuple(sorted(set(table.inputs))),
    )
