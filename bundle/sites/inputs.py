"""Sites of the participants who are analysed, and what is harmonised over them, checked."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pandas as pd

from bundle.analysis.site_prediction import families_per_site
from bundle.analysis.sites import LEAST_FAMILIES, Sites
from bundle.data.problems import InputProblems

logger = logging.getLogger(__name__)
SITE = "site"
COMBAT = "combat"
ALWAYS_KEPT = ("age_years", "sex")
"""Covariates whose effects harmonising leaves in, also where they are not regressed out afterwards."""


def site_labels(people: pd.DataFrame, column: str | None) -> pd.Series | None:
    """Each participant's site as text (NaN where it is not known); None if there is no such column, or one site only.

    Args:
        people: from `people_table`.
        column: that names sites; None for none. `site` need not be there.

    Raises:
        InputProblems: if a column of another name is not there.
    """
    if column is None or (column == SITE and column not in people):
        return None
    if column not in people:
        problem = f"--site names {column!r}, the participants table has {', '.join(map(str, people.columns))}."
        raise InputProblems("Sites", [problem])
    labels = people[column]
    labels = labels.where(labels.isna(), labels.astype(str)).astype(object)
    return labels if labels.nunique() > 1 else None


def with_site(categories: Sequence[str], column: str | None) -> Sequence[str]:
    """Columns that are categories even if numbers code them, the site among them."""
    if column is None or isinstance(categories, str):  # a string is refused by who reads the table
        return categories
    return [*categories, column]


def without_site(covariates: pd.DataFrame, labels: pd.Series | None) -> pd.DataFrame:
    """Covariates that are left for regression where ComBat sees to the site."""
    if labels is None or labels.name not in covariates:
        return covariates
    return covariates.drop(columns=str(labels.name))


def harmonised_sites(
    people: pd.DataFrame,
    labels: pd.Series | None,
    harmonise: str | None,
    covariates: pd.DataFrame,
    what: str = "Codes",
) -> Sites | None:
    """What to harmonise over; None if that was not asked for.

    Args:
        people: N participants, with `family_id`.
        labels: from `site_labels`.
        harmonise: `combat` or None.
        covariates: N rows of what is regressed out afterwards; kept by harmonising, with `age_years` and `sex`.
        what: is harmonised, for the log.

    Raises:
        InputProblems: for another method, participants without a site or a kept covariate, and sites of too few families.
    """
    if harmonise is None:
        return None
    if harmonise != COMBAT:
        raise InputProblems("Harmonising", [f"--harmonise: expected {COMBAT} or null (off), got {harmonise!r}."])
    if labels is None:
        raise InputProblems(
            "Harmonising",
            ["No two sites are known: add a column site to the participants table, or name it: --site COLUMN."],
        )
    problems = [
        f"{person}: no {labels.name}: fill it in or leave the participant out."
        for person in labels.index[labels.isna()]
    ]
    counts = families_per_site(labels, people["family_id"].tolist())
    problems += [
        f"{labels.name} {name}: {int(labels.eq(name).sum())} participants of {families} "
        f"{'family' if families == 1 else 'families'}: what the site does cannot be told from what the family is like; "
        f"{LEAST_FAMILIES} families are needed. Leave its participants out, or name sites of one scanner and protocol together."
        for name, families in counts.items()
        if families < LEAST_FAMILIES
    ]
    also = [name for name in ALWAYS_KEPT if name in people and people[name].nunique() > 1]
    kept = people[list(dict.fromkeys([*without_site(covariates, labels), *also]))]
    problems += [
        f"{person}: no {name}, which harmonising must keep: fill it in or leave the participant out."
        for name in kept
        for person in kept.index[kept[name].isna()]
    ]
    if problems:
        raise InputProblems("Harmonising", problems)
    logger.info("%s are harmonised over %s by ComBat; kept: %s.", what, labels.name, ", ".join(kept) or "nothing")
    return Sites(labels, kept)
