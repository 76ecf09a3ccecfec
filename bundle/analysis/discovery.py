"""Strata and factors of some families, tested on the participants of the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bundle.analysis.phenotype_cohort import Cohort, FactorSettings, make_factors
from bundle.analysis.phenotyping import VALIDATION, Comparison, TestSettings, compare
from bundle.analysis.strata import stratifier_of
from bundle.analysis.strata_search import find_strata
from bundle.analysis.strata_settings import StrataSettings
from bundle.analysis.stratifier import NOT_ASSIGNED
from bundle.data.problems import InputProblems


def validate(
    cohort: Cohort,
    settings: StrataSettings,
    share: float,
    factor_settings: FactorSettings,
    test_settings: TestSettings,
    n_jobs: int = 1,
    report: Callable[[str, int, int], None] | None = None,
) -> Comparison:
    """Find strata, factors and covariate models in some families; test on the participants of the others.

    Args:
        cohort: all participants.
        settings: of the strata.
        share: of families that are kept for the test.
        factor_settings: of the factors.
        test_settings: of the test.
        n_jobs: processes for the null.
        report: see `find_strata`.

    Returns:
        A comparison whose notes say who was tested; empty if there is no participant or nothing to test.
    """
    try:
        return _validate(cohort, settings, share, factor_settings, test_settings, n_jobs, report)
    except InputProblems as error:
        return Comparison(notes=(f"{VALIDATION}: one part alone is too small. {' '.join(error.problems)}",))


def _validate(
    cohort: Cohort,
    settings: StrataSettings,
    share: float,
    factor_settings: FactorSettings,
    test_settings: TestSettings,
    n_jobs: int,
    report: Callable[[str, int, int], None] | None,
) -> Comparison:
    family_of = np.unique(cohort.families, return_inverse=True)[1]
    order = np.random.default_rng(test_settings.seed).permutation(family_of.max() + 1)
    is_held_out = np.isin(family_of, order[: round(share * len(order))])
    seen = np.flatnonzero(~is_held_out)
    covariates = cohort.taken_out if cohort.has_covariates else None
    strata = find_strata(
        cohort.codes[seen],
        cohort.families[seen].tolist(),
        None if covariates is None else covariates.iloc[seen],
        settings,
        n_jobs,
        report,
        sites=None if cohort.sites is None else cohort.sites.part(seen),
    )
    if strata.n_strata < 2:
        return Comparison(notes=(f"{VALIDATION}: in the {len(seen)} participants of discovery, {strata.headline}.",))
    errors = cohort.table.reconstruction_errors
    part = cohort.table.in_order_of(cohort.table.participant_ids[seen].tolist())
    assigned = stratifier_of(strata, part).assign(cohort.codes, cohort.people, errors, cohort.table.inputs)
    is_assigned = (assigned["stratum"] != NOT_ASSIGNED).to_numpy()
    discovery, held_out = cohort.rows[~is_held_out[cohort.rows]], cohort.rows[is_held_out[cohort.rows]]
    own = held_out[is_assigned[held_out]]
    if not len(own):
        return Comparison(
            notes=(f"{VALIDATION}: none of the {len(held_out)} participants who were kept could be assigned.",)
        )
    made = make_factors(cohort, discovery, factor_settings, test_settings.seed)
    used = made.items.loc[made.items["state"] == "used", "item"]
    scores = made.model.scores(cohort.items.values.loc[cohort.people.index[own], used].to_numpy(dtype=float))
    # out of the scores by a model of the tested participants: that of discovery shares its error between embedding and score
    scores = cohort.adjusted_scores(scores, own)
    compared = compare(
        VALIDATION,
        scores,
        assigned["nearest_stratum"].to_numpy()[own],
        cohort.families[own],
        cohort.kinds_of(own),
        {factor.replace("F", "V"): name for factor, name in made.names.items()},
        test_settings,
    )
    note = (
        f"{VALIDATION}: {strata.headline} in {len(seen)} participants; tested on {len(own)} participants of other families "
        f"({len(held_out) - len(own)} more could not be assigned). Its factors V1, V2 ... are those of the first part."
    )
    return replace(compared, notes=(note, *compared.notes))
