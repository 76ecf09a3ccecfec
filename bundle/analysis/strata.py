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
from bundle.analysis.preference_scan import Scanned
from bundle.analysis.strata_null import NullTest
from bundle.analysis.strata_quality import gap_p_value, without_gap
from bundle.analysis.strata_settings import StrataSettings
from bundle.analysis.stratifier import Stratifier
from bundle.analysis.stratum_distances import mahalanobis, within_strata
from bundle.data.embedding_table import EmbeddingTable


@dataclass(frozen=True)
class Strata:
    """What was found.

    Attributes:
        labels: `(N,)` strata 0 .. K-1, largest first; all 0 if there are none.
        exemplars: `(K,)` rows.
        candidate_labels: `(N,)` the chosen partition, also if it is no clearer than chance.
        points: `(N, D)` in the space.
        distances: `(N,)` Mahalanobis distance from the own stratum's mean, by models that did not see the person.
        outside: `(N,)` length of what the space leaves out of each code, likewise, or by the space itself if larger.
        gaps: see `strata_quality.gaps`, of the chosen partition; empty without one.
        space: see `CodeSpace`.
        covariates: the model that was taken out, or None.
        sites: the model that codes were harmonised by before that, or None.
        scan: every preference with the number of clusters it gives.
        choice: candidates with their stability.
        test: the choice against cohorts without strata.
        ballots: of the strata.
        silhouettes: `(N,)`, of the strata; NaN if there are none.
        others: what other methods make of the people of the choice.
        hubness: of the points.
        effective_rank: of the codes.
        notes: what a reader should know about this run.
        settings: as given.
    """

    labels: np.ndarray
    exemplars: np.ndarray
    candidate_labels: np.ndarray
    points: np.ndarray
    distances: np.ndarray
    outside: np.ndarray
    gaps: pd.DataFrame
    space: CodeSpace
    covariates: CovariateModel | None
    sites: SiteModel | None
    scan: list[Scanned]
    choice: Choice
    test: NullTest
    ballots: Ballots
    silhouettes: np.ndarray
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
            return f"no discrete strata found (p = {p_value:.3g}; no partition was even a candidate)"
        if p_value <= self.settings.significance:
            pairs = ", ".join(f"{one + 1} and {other + 1}" for one, other in without_gap(self.gaps))
            where = f"no gap between clusters {pairs}" if pairs else f"no clear gaps, p = {gap_p_value(self.gaps):.3g}"
            return f"no discrete strata found (unlike one Gaussian cloud, p = {p_value:.3g}, but {where}: a continuum)"
        tried = self.choice.chosen.n_clusters
        return f"no discrete strata found (p = {p_value:.3g}; the chosen partition had {tried} clusters)"


def stratifier_of(found: Strata, table: EmbeddingTable) -> Stratifier:
    """What assignment of new people needs, from what was found."""
    centres, precision = within_strata(found.points, found.labels)
    in_sample = mahalanobis(found.points, centres[found.labels], precision)
    distances = np.percentile(found.distances, np.arange(101))
    distances[-1] = max(distances[-1], in_sample.max())
    return Stratifier(
        encoder_hash=table.encoder_hash,
        modalities=table.modalities,
        headline=found.headline,
        p_value=found.test.p_value,
        covariates=found.covariates,
        space=found.space,
        exemplars=found.points[found.exemplars],
        votes=found.ballots.votes,
        vote_strata=found.ballots.strata,
        vote_ballots=found.ballots.numbers,
        centres=centres,
        precision=precision,
        distances=distances,
        most_outside=float(found.outside.max()),
        worst_reconstruction=float(table.reconstruction_errors.max()),
        sites=found.sites,
        made_from=tuple(sorted(set(table.inputs))),
    )
