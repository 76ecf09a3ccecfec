"""What is known of sites once strata have been looked for: how far embeddings, strata and covariates follow them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from bundle.analysis.combat import SiteModel
from bundle.analysis.covariates import CovariateModel
from bundle.analysis.site_prediction import (
    SitePrediction,
    Treatment,
    families_per_site,
    predict_sites,
)
from bundle.analysis.site_tables import association, covariates_by_site, strata_by_site
from bundle.analysis.sites import Sites
from bundle.report.numbers import listed
from bundle.sites.inputs import COMBAT, without_site
from bundle.sites.words import CLUSTERED, GIVEN, WITHOUT_COVARIATES, on_codes, on_covariates, on_people, on_strata


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
    """How far embeddings, strata and covariates follow sites.

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
            *on_people(labels, counts),
            *on_codes(found, labels, treated, sites is not None),
            *on_strata(together, str(labels.name), sites is not None),
            *on_covariates(confounded, str(labels.name), sites is not None),
        ],
    }
    return SiteFindings(tables, facts)


def _treatments(
    codes: np.ndarray, labels: pd.Series, covariates: pd.DataFrame, sites: Sites | None, splines: bool
) -> dict[str, Treatment]:
    """Ways to treat embeddings, each learned from some of the participants."""
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
    """What was done to embeddings, in words; empty for nothing."""
    names = listed(list(map(str, covariates)))
    regressed = f"{names} regressed out by regression" if names else ""
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
