"""What is said of sites once strata have been looked for, in sentences."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bundle.analysis.site_prediction import CANNOT_EXCHANGE, SitePrediction
from bundle.analysis.site_tables import Association
from bundle.analysis.sites import LEAST_FAMILIES
from bundle.report.numbers import counted, digits, listed, p_is, share

GIVEN, WITHOUT_COVARIATES, CLUSTERED = "as given", "covariates regressed out", "as clustered"
SIGNIFICANCE = 0.05
SAME = 0.5
"""Adjusted mutual information from which strata are called sites."""
MUCH = 0.5
"""Share of a covariate's variance between sites from which a reader is warned."""
TURN_ON = "--harmonise combat takes out what sites do to the mean and the spread of embeddings."


def on_people(labels: pd.Series, counts: pd.DataFrame) -> list[str]:
    """On participants whose site is not known, and on sites of too few families.

    Args:
        labels: N sites, NaN where it is not known.
        counts: `site`, `n_families`.
    """
    words = []
    unknown = int(labels.isna().sum())
    if unknown:
        words.append(f"{counted(unknown, 'person has', 'people have')} no {labels.name} and are not looked at here.")
    small = counts.loc[counts["n_families"] < LEAST_FAMILIES, "site"].tolist()
    if small:
        words.append(
            f"{labels.name} {listed(small)}: fewer than {LEAST_FAMILIES} families, so whether their site can be told was "
            "not tested."
        )
    return words


def on_codes(found: Mapping[str, SitePrediction], labels: pd.Series, treated: str, is_harmonised: bool) -> list[str]:
    """On whether sites can be told from embeddings as given, without covariates, and as they were clustered.

    Args:
        found: treatment of the codes -> what came out.
        labels: N sites.
        treated: what was done before clustering, in words.
        is_harmonised: whether ComBat was part of that.
    """
    if not found:
        return [
            f"Whether {labels.name} can be told from embeddings cannot be tested: fewer than two sites have participants of "
            f"{LEAST_FAMILIES} families."
        ]
    given, last = found[GIVEN], list(found.values())[-1]
    words = [f"From the embeddings as the network gives them, {_told(given, str(labels.name))}."]
    if WITHOUT_COVARIATES in found and CLUSTERED in found:
        words.append(f"With the other covariates regressed out: {_figures(found[WITHOUT_COVARIATES])}.")
    if last is not given:
        words.append(f"As they were clustered ({treated}): {_figures(last)}.")
    is_left = last.p_value <= SIGNIFICANCE or last.is_above_chance
    if is_harmonised:
        words.append(
            "Sites can still be told by mean or spread, which ComBat did not wholly take out."
            if is_left
            else "No difference in mean or spread was left to be seen (somewhat below chance is usual after harmonising); "
            "differences of other kinds are not looked for."
        )
    elif is_left:
        words.append(f"Embeddings were not harmonised. {TURN_ON}")
    elif given.untested:
        words.append(f"Embeddings were not harmonised; whether anything asks for it could not be tested. {TURN_ON}")
    else:
        words.append(f"Embeddings were not harmonised; nothing here asks for it. {TURN_ON}")
    return words


def _told(one: SitePrediction, column: str) -> str:
    return f"the {column} of participants of other families {_verdict(one)}: {_figures(one)}"


def _verdict(one: SitePrediction) -> str:
    if one.p_value <= SIGNIFICANCE:
        return "can be told"
    if one.is_above_chance:
        return "is told more often than by chance, as its interval says"
    return "is not seen to be told better than by chance" if one.untested else "cannot be told better than by chance"


def _figures(one: SitePrediction) -> str:
    write = digits(2)
    figures = f"balanced accuracy {write(one.accuracy)} ({write(one.low)} to {write(one.high)}), by chance {write(one.chance)}"
    if one.untested:
        return f"{figures}; {one.untested}"
    return f"{figures} ({write(one.chance_low)} to {write(one.chance_high)}), {p_is(one.p_value)}"


def on_strata(together: Association | None, column: str, is_harmonised: bool) -> list[str]:
    """On strata that follow the column of sites; nothing if they do not."""
    if together is None:
        return []
    mend = "Look at one site at a time." if is_harmonised else f"{TURN_ON} Or look at one site at a time."
    if together.ami >= SAME:
        return [
            f"Strata are {column}s by another name (adjusted mutual information {digits(2)(together.ami)}): they may be of "
            f"scanners, not of brains. {mend}"
        ]
    if together.p_value <= SIGNIFICANCE:
        return [
            f"Strata are not alike at all {column}s (Cramér's V {digits(2)(together.cramers_v)}, "
            f"{p_is(together.p_value)}): the scanner, or who was scanned there."
        ]
    if np.isnan(together.p_value):
        return [
            f"How far strata follow {column}s was {CANNOT_EXCHANGE} (Cramér's V {digits(2)(together.cramers_v)}, 0 if they "
            "have nothing to do with each other and 1 if one follows from the other)."
        ]
    return []


def on_covariates(confounded: pd.DataFrame, column: str, is_harmonised: bool) -> list[str]:
    """On covariates much of whose variance lies between sites; nothing if there are none."""
    much = confounded[confounded["share"] >= MUCH]
    if much.empty:
        return []
    named = listed(
        [f"{row.covariate} ({share(row.share)} of its variance lies between {column}s)" for row in much.itertuples()]
    )
    rest = (
        "ComBat keeps what it takes for their effect" if is_harmonised else "Neither regression nor ComBat can fix that"
    )
    return [
        f"{column} goes with {named}: what the scanner does can hardly be told from that. {rest}; trust one {column} at a time."
    ]
