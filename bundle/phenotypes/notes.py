"""What a reader should know about one run of phenotyping, as sentences."""

from __future__ import annotations

from collections.abc import Sequence

from bundle.analysis.covariates import CovariateModel
from bundle.analysis.groupings import shown_first
from bundle.analysis.phenotype_cohort import Cohort
from bundle.analysis.phenotyping import PHENOTYPE_ADJUSTED, RAW
from bundle.analysis.values_apart import sentence_on_values_apart
from bundle.phenotypes.tables import Findings

PEOPLE_PER_TERM = 20


def notes_on(cohort: Cohort, found: Findings, not_described: Sequence[str]) -> list[str]:
    """On relatives, the strata that are compared, participants per covariate, odd values and variables that are not described.

    Args:
        cohort: participants.
        found: of them.
        not_described: variables, see `people_of_strata`.
    """
    notes = []
    if cohort.people["family_id"].nunique() == len(cohort.people):
        notes.append("No participant shares a family_id: every participant counts as unrelated.")
    if shown_first(found.raw, found.both) is not found.raw and found.both.n_strata > 1:
        notes.append(
            f"The unadjusted embeddings have no discrete strata, so {RAW} and {PHENOTYPE_ADJUSTED} compare those of the "
            "adjusted embeddings."
        )
    covariates = cohort.out_of_scores.iloc[cohort.rows]
    n_terms = len(CovariateModel.fit_unchecked(found.scores, covariates, cohort.splines).coefficients)
    if cohort.sites_of_scores is not None:
        n_terms += cohort.sites_of_scores.indicators.shape[1]
    if len(cohort.rows) < PEOPLE_PER_TERM * n_terms:
        notes.append(
            f"{len(cohort.rows)} participants for {n_terms} terms of covariates: with fewer than {PEOPLE_PER_TERM} per term, "
            "p of adjusted scores is a little too small."
        )
    items = found.made.items
    used = items[items["state"] == "used"]
    notes += [sentence_on_values_apart(row.item, row.apart) for row in used.itertuples() if row.apart]
    values = cohort.items.values.loc[cohort.people.index[cohort.rows], used["item"]]
    copies = values.columns[values.T.duplicated()]
    notes += [f"{name}: the same numbers as an item before it, which so count twice: keep one." for name in copies]
    n_without = len(cohort.people) - len(cohort.rows)
    if n_without:
        notes.append(
            f"{n_without} of {len(cohort.people)} participants with an embedding have no phenotypes or too few, and are in no test."
        )
    if not_described:
        notes.append(
            f"Not described by stratum, since nearly every participant has a word of their own: {', '.join(not_described)}."
        )
    return notes
