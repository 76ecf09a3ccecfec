"""From one encoder's embeddings to strata: what is regressed out, the choice, its null, and the partition of all participants."""

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
from bundle.analysis.partition import exemplars_of, match_to_strata, one_stratum, partition_everybody, rows_for_choice
from bundle.analysis.power import power
from bundle.analysis.references import UnimodalReference
from bundle.analysis.sites import Sites
from bundle.analysis.strata import Strata
from bundle.analysis.strata_null import NullTest, null_test
from bundle.analysis.strata_quality import hubness, other_partitions
from bundle.analysis.strata_settings import StrataSettings, check_codes
from bundle.analysis.stratum_distances import held_out_distances
from bundle.analysis.values_apart import notes_on_covariates

Report = Callable[[str, int, int], None]
"""Called with a word, steps done and all steps."""


def find_strata(
    codes: np.ndarray,
    families: Sequence[object],
    covariates: pd.DataFrame | None = None,
    settings: StrataSettings | None = None,
    n_jobs: int = 1,
    report: Report | None = None,
    sites: Sites | None = None,
) -> Strata:
    """Look for strata, and test whether they are clearer than those of cohorts that have none.

    Args:
        codes: `(N, E)` of one encoder.
        families: N labels; relatives are left out together and resemble each other in the null.
        covariates: N rows; regressed out of the embeddings first, but after sites.
        settings: see there.
        n_jobs: processes for the null.
        report: of steps done.
        sites: N participants'; embeddings are harmonised over them first. None: they are not.

    Raises:
        InputProblems: for fewer than 20 participants or 10 families, embeddings that are all alike or not finite, or covariates
            or sites that cannot be used.

    Source: strata of embeddings as Dimitri et al. (2022); the clustering, the choice and its null are ours (docs/strata.md).
    """
    settings = settings or StrataSettings()
    report = report or (lambda word, done, of: None)
    check_codes(codes, families)
    if covariates is not None and not covariates.shape[1]:
        covariates = None
    treated = _treat(codes.astype(float), covariates, sites, settings.splines)
    space = CodeSpace.fit(treated.codes, settings.standardise, settings.reduce, settings.seed)
    points = space.transform(treated.codes)
    family_of = pd.factorize(np.asarray(families))[0]
    few = rows_for_choice(family_of, settings.choice_size, settings.seed)
    families_of_few = family_of[few].tolist()
    report("Choosing", 0, 1)
    choice = choose(points[few], families_of_few, settings.choice, settings.seed)
    design = None if treated.design is None else treated.design[few]
    test = null_test(
        choice,
        UnimodalReference(points[few], families_of_few, settings.reference, design),
        families_of_few,
        settings.n_references,
        settings.seed,
        n_jobs,
        _reporting(report, settings.n_references),
    )
    found = _partition(points, family_of, few, choice, test, settings)
    notes = [*_note_on_outlying(choice), *notes_on_covariates(covariates)]
    if not settings.reduce:
        whole = "Embeddings are not reduced, so the stratifier holds means of whole embeddings: those of a few participants are nearly their embeddings."
        notes = [whole, *notes]
    distances, outside = held_out_distances(
        codes.astype(float), covariates, families, found.labels, space, settings.reduce, settings.splines, sites
    )
    has_strata = len(found.exemplars) > 1
    return Strata(
        labels=found.labels,
        exemplars=found.exemplars,
        candidate_labels=found.candidate_labels,
        points=points,
        distances=distances,
        outside=np.maximum(outside, space.distance_outside(treated.codes)),
        numbers=found.numbers,
        outlying=np.isin(np.arange(len(points)), few[choice.outlying]),
        space=space,
        covariates=treated.covariates,
        sites=treated.sites,
        choice=choice,
        test=test,
        ballots=found.ballots,
        silhouettes=silhouette_samples(points, found.labels) if has_strata else np.full(len(points), np.nan),
        power=power(families_of_few, points.shape[1], settings.choice, settings.n_power, settings.seed, n_jobs),
        others=other_partitions(points[few], found.candidate_labels[few], settings.choice.max_strata, settings.seed),
        hubness=hubness(points[few]),
        effective_rank=effective_rank(principal_axes(treated.codes[few] - treated.codes[few].mean(axis=0))[0]),
        notes=notes,
        settings=settings,
    )


@dataclass(frozen=True)
class _Treated:
    """Embeddings less what sites and covariates do to them.

    Attributes:
        codes: `(N, E)`.
        sites: the model that they were harmonised by, or None.
        covariates: the model that was regressed out after that, or None.
        design: `(N, T)` what the embeddings cannot follow any more, and the null's cohorts must not follow either; None: nothing.
    """

    codes: np.ndarray
    sites: SiteModel | None
    covariates: CovariateModel | None
    design: np.ndarray | None


def _treat(codes: np.ndarray, covariates: pd.DataFrame | None, sites: Sites | None, splines: bool) -> _Treated:
    harmoniser: SiteModel | None = None
    model: CovariateModel | None = None
    terms: list[np.ndarray] = []
    if sites is not None:
        harmoniser = SiteModel.fit(codes, sites, splines, on_axes=True)
        codes = harmoniser.apply(codes, sites)
        terms.append(sites.indicators)
    if covariates is not None:
        model = CovariateModel.fit(codes, covariates, splines)
        codes = model.adjust(codes, covariates)
        terms.append(model.design(covariates))
    return _Treated(codes, harmoniser, model, np.column_stack(terms) if terms else None)


def _reporting(report: Report, n_references: int) -> Callable[[NullTest], bool]:
    """What is done after each reference: say so, and never stop."""

    def after_each(so_far: NullTest) -> bool:
        report("Cohorts without strata", len(so_far.references), n_references)
        return False

    return after_each


def _note_on_outlying(choice: Choice) -> list[str]:
    count = int(choice.outlying.sum())
    if not count:
        return []
    return [
        f"{count} outlying participants were set aside before the choice: a handful far from all others, too few for a stratum "
        "and often artefacts. They are marked in strata.tsv (outlying); look at their images."
    ]


@dataclass(frozen=True)
class _Partition:
    """All participants' strata, the partition that they would be if it were clear, and its numbers of the choice's clusters."""

    labels: np.ndarray
    exemplars: np.ndarray
    candidate_labels: np.ndarray
    numbers: np.ndarray
    ballots: Ballots


def _partition(
    points: np.ndarray, family_of: np.ndarray, few: np.ndarray, choice: Choice, test: NullTest, settings: StrataSettings
) -> _Partition:
    """Strata if the choice is clearer than chance and has gaps between its clusters; one stratum otherwise."""
    everybody = one_stratum(points)
    middle = exemplars_of(points, everybody)
    if choice.chosen is None:
        return _Partition(everybody, middle, everybody, np.zeros(0, dtype=int), no_ballots(points))
    labels = partition_everybody(points, few, choice)
    kept = few[~choice.outlying]
    n_clusters = choice.chosen.n_clusters
    numbers = match_to_strata(labels[kept], choice.chosen.labels, n_clusters, n_clusters)
    if not (test.p_value <= settings.significance and choice.has_gaps):
        return _Partition(everybody, middle, labels, numbers, no_ballots(points))
    ballots = cast_ballots(
        points[kept], labels[kept], family_of[kept], settings.choice, settings.n_stability, settings.seed + 1
    )
    return _Partition(labels, exemplars_of(points, labels), labels, numbers, ballots)
