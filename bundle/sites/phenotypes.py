"""Sites in phenotyping: what is harmonised, and strata against factors site by site."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bundle.analysis.exchange import exchangeable_families, share_fixed
from bundle.analysis.groupings import Grouping
from bundle.analysis.phenotype_cohort import Cohort
from bundle.analysis.phenotyping import TestSettings, compare
from bundle.analysis.site_prediction import CANNOT_EXCHANGE, MOST_FIXED
from bundle.analysis.site_tables import ALL_SITES, compare_within_sites, factor_means
from bundle.analysis.sites import Sites
from bundle.report.numbers import listed
from bundle.sites.findings import SiteFindings
from bundle.sites.inputs import COMBAT, harmonised_sites, without_site

COLUMNS = ["factor", "name", "n_people", "n_sites", "h", "p", "q", "epsilon_squared", "low", "high"]


def sites_of_codes(people: pd.DataFrame, labels: pd.Series | None, found: Mapping[str, Any]) -> Sites | None:
    """What clustering harmonised embeddings over, from its `summary.json`; None if it did not."""
    site = found.get("site") or {}
    if site.get("harmonise") is None:
        return None
    return harmonised_sites(people, labels, site["harmonise"], people[site["kept"]])


def covariates_of_scores(
    people: pd.DataFrame,
    taken_out: pd.DataFrame,
    labels: pd.Series | None,
    of_codes: Sites | None,
    harmonise: str | None,
) -> tuple[pd.DataFrame, Sites | None]:
    """What is regressed out of scores by regression, and what they are harmonised over.

    Args:
        people: N participants.
        taken_out: N rows of what is regressed out of embeddings by regression.
        labels: N sites, or None.
        of_codes: what embeddings are harmonised over; the site is then regressed out of scores too, by regression if not by ComBat.
        harmonise: `combat`, or None.
    """
    if harmonise is not None:
        rest = without_site(taken_out, labels)
        return rest, harmonised_sites(people, labels, harmonise, rest, "Factor scores")
    if of_codes is not None and of_codes.labels.name not in taken_out:
        return taken_out.assign(**{str(of_codes.labels.name): of_codes.labels}), None
    return taken_out, None


def phenotypes_by_site(
    cohort: Cohort,
    scores: np.ndarray,
    adjusted: np.ndarray,
    grouping: Grouping,
    factors: Mapping[str, str],
    settings: TestSettings,
) -> SiteFindings | None:
    """Factors by site; and strata against factors within sites, in the version that counts. None without sites.

    Args:
        cohort: participants.
        scores: `(rows, F)` of those who are analysed.
        adjusted: `(rows, F)` without covariates.
        grouping: strata of all participants who are embedded.
        factors: F ids -> names.
        settings: of the tests.
    """
    if cohort.labels is None:
        return None
    rows = cohort.rows
    labels, strata, families = cohort.labels.iloc[rows], grouping.labels[rows], cohort.families[rows]
    known = np.flatnonzero(labels.notna().to_numpy())
    names, site_of = np.unique(labels.iloc[known].to_numpy(dtype=str), return_inverse=True)
    kinds = cohort.kinds_of(rows)
    between = compare(
        "raw", scores[known], site_of + 1, families[known], None if kinds is None else kinds[known], factors, settings
    ).tests
    between = between.rename(columns={"n_strata": "n_sites"})
    blocks = exchangeable_families(families[known], None if kinds is None else kinds[known])
    if len(between) and share_fixed(blocks, site_of) > MOST_FIXED:
        between[["p", "q"]] = np.nan
    tables = {"factors_sites": between[COLUMNS] if len(between) else pd.DataFrame(columns=COLUMNS)}
    within = None
    if grouping.n_strata > 1:
        tables["site_means"] = factor_means(
            adjusted, strata, labels, families, factors, settings.n_bootstrap, settings.seed
        )
        within = compare_within_sites(
            adjusted, strata, labels, families, factors, settings.least_members, settings.n_permutations, settings.seed
        )
        tables["site_tests"] = within
    facts = {
        "column": str(cohort.labels.name),
        "n_sites": len(names),
        "harmonise": None if cohort.sites_of_scores is None else COMBAT,
        "words": [*_on_factors(between, cohort, settings), *_on_strata(within, settings, str(cohort.labels.name))],
    }
    return SiteFindings(tables, facts)


def _on_factors(between: pd.DataFrame, cohort: Cohort, settings: TestSettings) -> list[str]:
    assert cohort.labels is not None
    column = cohort.labels.name
    if between.empty:
        return [f"No two {column}s have participants enough to compare their phenotypes."]
    if between["q"].isna().all():
        return [f"Whether phenotype factors differ between {column}s was {CANNOT_EXCHANGE}."]
    different = between[between["q"] <= settings.significance]
    which = listed([f"{row.factor} {row.name}" for row in different.itertuples(index=False)])
    much = f": {which}" if which else ""
    words = [
        f"{len(different)} of {len(between)} phenotype factors differ between {column}s before anything is regressed out{much}."
    ]
    if cohort.sites_of_scores is not None:
        words.append("Factor scores were harmonised by ComBat in the adjusted versions.")
    elif column in cohort.out_of_scores:
        words.append(
            f"{column} was regressed out of the scores by regression in the adjusted versions, which sees to means alone; "
            "--harmonise combat sees to spread too."
        )
    else:
        words.append(f"{column} was not regressed out of the scores; --harmonise combat does that.")
    return words


def _on_strata(within: pd.DataFrame | None, settings: TestSettings, column: str) -> list[str]:
    if within is None:
        return []
    if within.empty:
        return [
            f"At no {column} do two strata have {settings.least_members} participants each: strata cannot be compared within {column}s."
        ]
    all_of_them = within[within["site"] == ALL_SITES]
    own = all_of_them if len(all_of_them) else within
    if own["q"].isna().all():
        return [
            f"Whether strata differ among participants of one {column} was not tested by exchanging families, because family sizes "
            "differ between strata."
        ]
    found = own[own["q"] <= settings.significance]
    which = listed([f"{row.factor} {row.name}" for row in found.itertuples(index=False)])
    where = "the only one that can be looked at" if all_of_them.empty else f"all {column}s together"
    return [
        f"Among participants of one {column} ({where}), {len(found)} of {len(own)} factors differ between strata"
        + (f": {which}." if which else ".")
    ]
