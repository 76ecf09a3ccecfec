"""From one encoder's codes to strata, or to the finding that there are none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import silhouette_samples

from bundle.analysis.ballots import Ballots, cast_ballots, no_ballots
from bundle.analysis.cluster_choice import Choice, choose
from bundle.analysis.code_space import CodeSpace, effective_rank, principal_axes
from bundle.analysis.combat import SiteModel
from bundle.analysis.covariates import CovariateModel
from bundle.analysis.partition import cluster_everybody, join_nearest, one_stratum, rows_for_choice
from bundle.analysis.preference_scan import Scanned, scan_preferences
from bundle.analysis.sites import Sites
from bundle.analysis.strata_null import NullTest, null_test
from bundle.analysis.strata_quality import are_apart, gap_p_value, gaps, hubness, other_partitions, without_gap
from bundle.analysis.strata_settings import StrataSettings, check_codes
from bundle.analysis.stratifier import Stratifier
from bundle.analysis.stratum_distances import held_out_distances, mahalanobis, within_strata
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


def find_strata(
    codes: np.ndarray,
    families: Sequence[object],
    covariates: pd.DataFrame | None = None,
    settings: StrataSettings | None = None,
    n_jobs: int = 1,
    report: Callable[[str, int, int], None] | None = None,
    show_progress: bool = False,
    sites: Sites | None = None,
) -> Strata:
    """Look for strata, and test whether they are clearer than those of cohorts that have none.

    Args:
        codes: `(N, E)` of one encoder.
        families: N labels; relatives are left out together and resemble each other in the null.
        covariates: N rows; taken out of the codes first, but after sites.
        settings: see there.
        n_jobs: processes for the null.
        report: called with a word, steps done and all steps.
        show_progress: show a bar while everybody of a large cohort is clustered.
        sites: N people's; codes are harmonised over them first. None: they are not.

    Raises:
        InputProblems: for fewer than 20 people or 10 families, codes that are all alike or not finite, or covariates
            or sites that cannot be used.

    Source: affinity propagation as Dimitri et al. (2022); the choice and its null are ours (docs/strata.md).
    """
    settings = settings or StrataSettings()
    report = report or (lambda word, done, of: None)
    check_codes(codes, families)
    if covariates is not None and not covariates.shape[1]:
        covariates = None
    harmonised = codes.astype(float)
    harmoniser = None if sites is None else SiteModel.fit(harmonised, sites, settings.splines, on_axes=True)
    if harmoniser is not None and sites is not None:
        harmonised = harmoniser.apply(harmonised, sites)
    model = None if covariates is None else CovariateModel.fit(harmonised, covariates, settings.splines)
    adjusted = harmonised if model is None else model.adjust(harmonised, covariates)
    # what the codes cannot follow any more, and the null's cohorts must not follow either
    terms = [] if sites is None else [sites.indicators]
    if model is not None and covariates is not None:
        terms.append(model.design(covariates))
    design = np.column_stack(terms) if terms else None
    space = CodeSpace.fit(adjusted, settings.standardise, settings.reduce, settings.seed)
    points = space.transform(adjusted)
    family_of = pd.factorize(np.asarray(families))[0]
    few = rows_for_choice(family_of, settings.choice_size, settings.seed)
    families_of_few = family_of[few].tolist()
    report("Scanning preferences", 0, settings.choice.n_preferences)
    scan = []
    for found in scan_preferences(points[few], settings.choice):
        scan.append(found)
        report("Scanning preferences", len(scan), settings.choice.n_preferences)
    choice = choose(points[few], families_of_few, settings.choice, settings.seed, scan)

    def show_reference(so_far: NullTest) -> bool:
        report("Cohorts without strata", len(so_far.references), settings.n_references)
        return False

    test = null_test(
        choice,
        points[few],
        families_of_few,
        settings.choice,
        settings.reference,
        settings.n_references,
        settings.seed,
        n_jobs,
        None if design is None else design[few],
        show_reference,
    )
    notes: list[str] = []
    if not settings.reduce:
        notes.append("Codes are not reduced, so the stratifier holds whole codes of real people: keep it to yourself.")
    between = pd.DataFrame(columns=["nearest_stratum", "middle", "flank"])
    if choice.chosen is None:
        labels, exemplars = one_stratum(points)
        candidate_labels = labels
        ballots = no_ballots(points[exemplars])
    else:
        candidate_labels, candidate_exemplars = join_nearest(points, few, choice.chosen.scanned.clustering)
        is_clear = test.p_value <= settings.significance
        if is_clear and len(few) < len(points):
            candidate_labels, candidate_exemplars = cluster_everybody(
                points, few, choice.chosen, settings, show_progress, notes
            )
        between = gaps(points, candidate_labels)
        if is_clear and are_apart(between, settings.significance):
            labels, exemplars = candidate_labels, candidate_exemplars
            # other half-samples than those of the choice
            ballots = cast_ballots(
                points,
                labels,
                family_of,
                few,
                choice.chosen.scanned,
                settings.choice,
                settings.n_stability,
                settings.seed + 1,
            )
        else:
            labels, exemplars = one_stratum(points)
            ballots = no_ballots(points[exemplars])
    distances, outside = held_out_distances(
        codes.astype(float), covariates, families, labels, space, settings.reduce, settings.splines, sites
    )
    return Strata(
        labels=labels,
        exemplars=exemplars,
        candidate_labels=candidate_labels,
        points=points,
        distances=distances,
        outside=np.maximum(outside, space.distance_outside(adjusted)),
        gaps=between,
        space=space,
        covariates=model,
        sites=harmoniser,
        scan=scan,
        choice=choice,
        test=test,
        ballots=ballots,
        silhouettes=silhouette_samples(points, labels) if len(exemplars) > 1 else np.full(len(points), np.nan),
        others=other_partitions(points[few], candidate_labels[few], settings.choice.max_strata, settings.seed),
        hubness=hubness(points[few]),
        effective_rank=effective_rank(principal_axes(adjusted[few] - adjusted[few].mean(axis=0))[0]),
        notes=notes,
        settings=settings,
    )


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
    )
