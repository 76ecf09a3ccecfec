"""What is known of sites once strata have been looked for: how far codes, strata and covariates follow them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from bundle.analysis.combat import SiteModel
from bundle.analysis.covariates import CovariateModel
from bundle.analysis.site_prediction import (
    CANNOT_EXCHANGE,
    SitePrediction,
    Treatment,
    families_per_site,
    predict_sites,
)
from bundle.analysis.site_tables import Association, association, covariates_by_site, strata_by_site
from bundle.analysis.sites import LEAST_FAMILIES, Sites
from bundle.report.numbers import counted, digits, listed, p_is, share
from bundle.sites.inputs import COMBAT, without_site

GIVEN, WITHOUT_COVARIATES, CLUSTERED = "as given", "covariates taken out", "as clustered"
SIGNIFICANCE = 0.05
SAME = 0.5
"""Adjusted mutual information from which strata are called sites."""
MUCH = 0.5
"""Share of a covariate's variance between sites from which a reader is warned."""
TURN_ON = "--harmonise combat takes out what sites do to the mean and the spread of codes."


@dataclass(frozen=True)
class SiteFindings:
    """Tables to be written, by name, and facts for `summary.json`."""

    tables: Mapping[str, pd.DataFrame]
    facts: Mapping[str, Any]


def look_at_sites(
    codes: np.ndarray,
    labels: pd.Series,
    people: pd.DataFrame,
    covariates: pd.DataFrame,
    sites: Sites | None,
    splines: bool,
    strata: np.ndarray,
    seed: int,
) -> SiteFindings:
    """How far codes, strata and covariates follow sites.

    Args:
        codes: `(N, E)` as the network gave them.
        labels: N sites.
        people: N participants, with `family_id`.
        covariates: N rows of what clustering took out by regression.
        sites: what it harmonised over first, or None.
        splines: see `CovariateModel.fit`.
        strata: `(N,)` numbers from 1.
        seed: of folds and permutations.
    """
    families = people["family_id"].to_numpy(dtype=str)
    treatments = _treatments(codes, labels, covariates, sites, splines)
    found = predict_sites(treatments, labels, families, seed=seed, knowing_sites=[CLUSTERED])
    together = association(strata, labels, families, seed=seed)
    confounded = covariates_by_site(without_site(covariates, labels) if sites is None else sites.kept, labels)
    counts = pd.DataFrame({"n_people": labels.value_counts(), "n_families": families_per_site(labels, families)})
    counts = counts.rename_axis("site").reset_index().sort_values("site", ignore_index=True)
    for name, prediction in found.items():
        counts[f"found {name}"] = counts["site"].map(dict(prediction.recall))
    tables = {
        "site_prediction": _prediction_rows(found),
        "sites": counts,
        "site_covariates": confounded,
        "strata_sites": strata_by_site(strata, labels),
    }
    treated = _treated(covariates, labels, sites)
    facts = {
        "column": str(labels.name),
        "n_sites": int(labels.nunique()),
        "harmonise": None if sites is None else COMBAT,
        "kept": [] if sites is None else list(sites.kept),
        "treated": treated,
        "strata": None if together is None else asdict(together),
        "words": [
            *_on_people(labels, counts),
            *_on_codes(found, labels, treated, sites is not None),
            *_on_strata(together, str(labels.name), sites is not None),
            *_on_covariates(confounded, str(labels.name), sites is not None),
        ],
    }
    return SiteFindings(tables, facts)


def _treatments(
    codes: np.ndarray, labels: pd.Series, covariates: pd.DataFrame, sites: Sites | None, splines: bool
) -> dict[str, Treatment]:
    """Ways to treat codes, each learned from some of the people."""
    codes = codes.astype(float)
    other = without_site(covariates, labels)

    def taken_out(table: pd.DataFrame, values: np.ndarray, seen: np.ndarray) -> np.ndarray:
        if not table.shape[1]:
            return values
        return CovariateModel.fit_unchecked(values[seen], table.iloc[seen], splines).adjust(values, table)

    def harmonised(seen: np.ndarray) -> np.ndarray:
        if sites is None:
            return codes
        return SiteModel.fit_unchecked(codes[seen], sites.part(seen), splines, on_axes=True).apply(codes, sites)

    treatments: dict[str, Treatment] = {GIVEN: lambda seen: codes}
    if other.shape[1]:
        treatments[WITHOUT_COVARIATES] = lambda seen: taken_out(other, codes, seen)
    if sites is not None or labels.name in covariates:
        treatments[CLUSTERED] = lambda seen: taken_out(covariates, harmonised(seen), seen)
    return treatments


def _treated(covariates: pd.DataFrame, labels: pd.Series, sites: Sites | None) -> str:
    """What was done to codes, in words; empty for nothing."""
    names = listed(list(map(str, covariates)))
    regressed = f"{names} taken out by regression" if names else ""
    return " and ".join(filter(None, ["" if sites is None else f"harmonised over {labels.name} by ComBat", regressed]))


def _prediction_rows(found: Mapping[str, SitePrediction]) -> pd.DataFrame:
    rows = [
        {
            "codes": name,
            "accuracy": one.accuracy,
            "low": one.low,
            "high": one.high,
            "chance": one.chance,
            "chance_low": one.chance_low,
            "chance_high": one.chance_high,
            "p": one.p_value,
        }
        for name, one in found.items()
    ]
    return pd.DataFrame(rows, columns=["codes", "accuracy", "low", "high", "chance", "chance_low", "chance_high", "p"])


def _on_people(labels: pd.Series, counts: pd.DataFrame) -> list[str]:
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


def _on_codes(found: Mapping[str, SitePrediction], labels: pd.Series, treated: str, is_harmonised: bool) -> list[str]:
    if not found:
        return [
            f"Whether {labels.name} can be told from codes cannot be tested: fewer than two sites have people of "
            f"{LEAST_FAMILIES} families."
        ]
    given, last = found[GIVEN], list(found.values())[-1]
    words = [f"From the codes as the network gives them, {_told(given, str(labels.name))}."]
    if WITHOUT_COVARIATES in found and CLUSTERED in found:
        words.append(f"With the other covariates taken out: {_figures(found[WITHOUT_COVARIATES])}.")
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
        words.append(f"Codes were not harmonised. {TURN_ON}")
    elif given.untested:
        words.append(f"Codes were not harmonised; whether anything asks for it could not be tested. {TURN_ON}")
    else:
        words.append(f"Codes were not harmonised; nothing here asks for it. {TURN_ON}")
    return words


def _told(one: SitePrediction, column: str) -> str:
    return f"the {column} of people of other families {_verdict(one)}: {_figures(one)}"


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


def _on_strata(together: Association | None, column: str, is_harmonised: bool) -> list[str]:
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


def _on_covariates(confounded: pd.DataFrame, column: str, is_harmonised: bool) -> list[str]:
    much = confounded[confounded["share"] >= MUCH]
    if much.empty:
        return []
    named = listed(
        [f"{row.covariate} ({share(row.share)} of its variance lies between {column}s)" for row in much.itertuples()]
    )
    rest = (
        "ComBat keeps what it takes for their effect"
        if is_harmonised
        else "Neither regression nor ComBat can mend that"
    )
    return [
        f"{column} goes with {named}: what the scanner does can hardly be told from that. {rest}; trust one {column} at a time."
    ]
