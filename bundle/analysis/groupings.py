"""Strata of the embeddings as they are and of those without covariates, each against phenotype factors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bundle.analysis.choice_settings import ChoiceSettings
from bundle.analysis.code_space import principal_axes
from bundle.analysis.continuum import explained_by, indicators
from bundle.analysis.phenotype_cohort import Cohort
from bundle.analysis.phenotyping import BOTH_ADJUSTED, PHENOTYPE_ADJUSTED, RAW, Comparison, TestSettings, compare
from bundle.analysis.strata_search import find_strata
from bundle.analysis.strata_settings import StrataSettings

OTHER_REFERENCES = 19
"""Cohorts without strata for the embeddings that clustering did not cluster, where p needs no more."""


@dataclass(frozen=True)
class Grouping:
    """A partition of all participants who are embedded.

    Attributes:
        labels: `(N,)` strata from 1, all 1 if there are none.
        headline: of the search.
        n_tried: clusters of the chosen partition, also where it is no better than chance.
        codes: `(N, E)` that it was found in, covariates regressed out or not.
    """

    labels: np.ndarray
    headline: str
    n_tried: int
    codes: np.ndarray

    @property
    def n_strata(self) -> int:
        """1 if no discrete strata were found."""
        return int(self.labels.max())


def groupings(
    cohort: Cohort,
    clusters: pd.DataFrame,
    found: Mapping[str, Any],
    n_jobs: int,
    report: Callable[[str, int, int], None],
) -> tuple[Grouping, Grouping]:
    """Strata of the embeddings as they are, and of the embeddings without covariates; one of the two is what clustering wrote.

    Args:
        cohort: participants.
        clusters: N rows, `strata.tsv` of clustering.
        found: its `summary.json`.
        n_jobs: processes for the null of the other search.
        report: see `find_strata`.
    """
    without = cohort.adjusted_codes(cohort.codes, np.arange(len(cohort.table)))
    is_adjusted = is_of_adjusted_codes(found)
    given = Grouping(
        clusters["stratum"].to_numpy(),
        found["headline"],
        int(clusters["candidate_cluster"].max()),
        without if is_adjusted else cohort.codes,
    )
    if not cohort.has_covariates:
        return given, given
    stored = found["settings"]
    # the strata that count are looked for as thoroughly as clustering looks, the others as quickly as p allows
    few = max(OTHER_REFERENCES, math.ceil(1 / stored["significance"]) - 1)
    searched = find_strata(
        cohort.codes,
        cohort.families.tolist(),
        None if is_adjusted else cohort.taken_out,
        stored_settings(found, few if is_adjusted else stored["n_references"]),
        n_jobs,
        report,
        sites=None if is_adjusted else cohort.sites,
    )
    other = Grouping(
        searched.labels + 1,
        searched.headline,
        int(searched.candidate_labels.max()) + 1,
        cohort.codes if is_adjusted else without,
    )
    return (other, given) if is_adjusted else (given, other)


def is_of_adjusted_codes(found: Mapping[str, Any]) -> bool:
    """Whether clustering took something out of the embeddings, by its `summary.json`."""
    return bool(found["covariates"]) or bool((found.get("site") or {}).get("harmonise"))


def stored_settings(found: Mapping[str, Any], n_references: int) -> StrataSettings:
    """Settings as the `summary.json` of clustering holds them, with another number of cohorts without strata."""
    stored = dict(found["settings"])
    stored["choice"] = ChoiceSettings(**stored["choice"])
    return replace(StrataSettings(**stored), n_references=n_references)


def compare_versions(
    cohort: Cohort,
    scores: np.ndarray,
    adjusted: np.ndarray,
    raw: Grouping,
    both: Grouping,
    factors: Mapping[str, str],
    settings: TestSettings,
) -> list[Comparison]:
    """Strata against factors with nothing regressed out, and with covariates out of phenotypes and of both, if there are any.

    Args:
        cohort: participants; those of its rows are compared.
        scores: `(rows, F)`.
        adjusted: `(rows, F)` without covariates.
        raw: strata of the embeddings as they are.
        both: strata of the embeddings without covariates.
        factors: F ids -> names.
        settings: of the tests.
    """
    first = shown_first(raw, both)
    versions = [(RAW, scores, first)]
    if cohort.has_covariates:
        versions += [(PHENOTYPE_ADJUSTED, adjusted, first), (BOTH_ADJUSTED, adjusted, both)]
    rows = cohort.rows
    families, kinds = cohort.families[rows], cohort.kinds_of(rows)
    return [
        compare(name, values, grouping.labels[rows], families, kinds, factors, settings)
        for name, values, grouping in versions
    ]


def shown_first(raw: Grouping, both: Grouping) -> Grouping:
    """Strata for the versions of unadjusted embeddings.

    Those may hide strata; what adjusting phenotypes does is then shown for the strata of adjusted embeddings.
    """
    return raw if raw.n_strata > 1 else both


def compare_with_continuum(
    cohort: Cohort,
    raw: Grouping,
    both: Grouping,
    scores: np.ndarray,
    linear: np.ndarray | None,
    factors: Mapping[str, str],
    n_folds: int,
    settings: TestSettings,
) -> pd.DataFrame:
    """What predicts each factor: strata, as many embedding components, the whole embedding, and fusion without a network.

    Args:
        cohort: participants.
        raw: strata of the embeddings as they are.
        both: strata of the embeddings without covariates.
        scores: `(rows, F)` of the participants who are analysed.
        linear: `(N, C)` components of all participants' images, or None.
        factors: F ids -> names.
        n_folds: of whole families.
        settings: seed and draws.
    """
    tables = []
    for version, grouping in ((RAW, raw), (BOTH_ADJUSTED, both))[: 1 + cohort.has_covariates]:
        is_adjusted = version == BOTH_ADJUSTED
        codes = grouping.codes[cohort.rows]
        centred = codes - codes.mean(axis=0)
        components = centred @ principal_axes(centred)[1]
        count = max(1, (grouping.n_strata if grouping.n_strata > 1 else grouping.n_tried) - 1)
        predictors = {"components": components[:, :count], "ridge": components}
        if grouping.n_strata > 1:
            predictors = {"strata": indicators(grouping.labels[cohort.rows]), **predictors}
        if linear is not None:
            own = linear[cohort.rows]
            predictors["linear fusion"] = cohort.adjusted_codes(own, cohort.rows) if is_adjusted else own
        table = explained_by(
            scores,
            predictors,
            ["ridge", "linear fusion"],
            cohort.families[cohort.rows].tolist(),
            cohort.out_of_scores.iloc[cohort.rows] if is_adjusted else None,
            cohort.splines,
            n_folds,
            settings.n_bootstrap,
            settings.seed,
            cohort.sites_of_scores.part(cohort.rows) if is_adjusted and cohort.sites_of_scores else None,
        )
        table.insert(0, "version", version)
        tables.append(table)
    result = pd.concat(tables, ignore_index=True)
    ids = list(factors)
    result["factor"] = [ids[number] for number in result["factor"]]
    result.insert(2, "name", result["factor"].map(dict(factors)))
    return result
