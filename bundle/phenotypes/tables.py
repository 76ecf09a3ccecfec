"""What was found about phenotypes, as tables to be written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from bundle.analysis.contributions import covariate_shares
from bundle.analysis.groupings import Grouping, compare_with_continuum
from bundle.analysis.phenotype_cohort import Cohort, Factors, FactorSettings
from bundle.analysis.phenotyping import PRIMARY, RAW, VALIDATION, Comparison, TestSettings
from bundle.data.items import ItemTable
from bundle.phenotypes.image_evidence import ImageEvidence
from bundle.phenotypes.inputs import Given


@dataclass(frozen=True)
class Findings:
    """Factors, strata and what the two have to do with each other.

    Attributes:
        made: factors.
        scores: `(rows, F)` of those who are analysed.
        adjusted: the same without covariates.
        raw: strata of the embeddings as they are.
        both: strata of the embeddings without covariates.
        compared: strata against factors, all versions.
        evidence: what was read from the images, or None.
    """

    made: Factors
    scores: np.ndarray
    adjusted: np.ndarray
    raw: Grouping
    both: Grouping
    compared: Comparison
    evidence: ImageEvidence | None


def result_tables(given: Given, found: Findings, n_folds: int, settings: TestSettings) -> dict[str, pd.DataFrame]:
    """Name -> table, of what every run finds; `n_folds` of whole families tell what predicts each factor."""
    cohort, made = given.cohort, found.made
    linear = None if found.evidence is None else found.evidence.components
    return {
        "flow": given.flow,
        "left_out": given.left_out,
        "items": item_rows(made, cohort.items),
        "factors": factor_rows(made),
        "loadings": loading_rows(made),
        "scores": score_rows(cohort.people.index[cohort.rows], found.scores, found.adjusted, made).assign(
            stratum_raw=found.raw.labels[cohort.rows], stratum_adjusted=found.both.labels[cohort.rows]
        ),
        "code_covariates": covariate_shares(cohort.codes, shown_covariates(cohort), cohort.splines),
        "tests": found.compared.tests,
        "pairs": found.compared.pairs,
        "profile": found.compared.profile,
        "continuum": compare_with_continuum(
            cohort, found.raw, found.both, found.scores, linear, made.names, n_folds, settings
        ),
    }


def shown_covariates(cohort: Cohort) -> pd.DataFrame:
    """Covariates whose share of the embeddings is told: those that are regressed out, and the site that embeddings are harmonised over."""
    if cohort.sites is None:
        return cohort.taken_out
    return cohort.taken_out.assign(**{str(cohort.sites.labels.name): cohort.sites.labels})


def headline(tests: pd.DataFrame, grouping: Grouping, continuum: pd.DataFrame, covariates: Sequence[str]) -> str:
    """The finding in one sentence, of the version that counts."""
    primary = PRIMARY if covariates else RAW
    named = ", ".join(covariates)
    after = f" after {named} were regressed out of embeddings and phenotypes" if covariates else ""
    own = tests[tests["version"] == primary]
    if grouping.n_strata < 2:
        best = continuum[(continuum["version"] == primary) & (continuum["predictor"] == "ridge")]
        best = best.loc[best["r2"].idxmax()]
        much = "the embedding predicts no phenotype factor beyond chance"
        if best["low"] > 0:
            much = f"the embedding predicts {best['factor']} {best['name']} best (cross-validated R² {best['r2']:.2f})"
        from_codes = f" after {named} were regressed out of the embeddings" if covariates else ""
        return f"No discrete strata were found{from_codes}. As a continuum, {much}."
    if own.empty:
        return f"{grouping.n_strata} strata were found{after}, but too few of their participants have phenotypes to compare."
    found = own[own["found"]]
    names = "; ".join(f"{factor} {name}" for factor, name in zip(found["factor"], found["name"], strict=True))
    which = f": {names}" if len(found) else ""
    new = tests[tests["version"] == VALIDATION]
    again = ""
    if len(new):
        again = (
            f" In participants whom neither strata nor factors were made of, {new['found'].sum()} of {len(new)} differ."
        )
    return (
        f"{len(found)} of {len(own)} phenotype factors differ between {grouping.n_strata} strata{after}{which}.{again}"
    )


def facts(
    cohort: Cohort,
    found: Findings,
    tables: Mapping[str, pd.DataFrame],
    factor_settings: FactorSettings,
    test_settings: TestSettings,
) -> dict[str, Any]:
    """The headline, the figures behind it and the settings, as plain values for JSON."""
    tests, raw, both = tables["tests"], found.raw, found.both
    own = tests.loc[tests["version"] == cohort.primary, "least_detectable"]
    return {
        "headline": headline(tests, both, tables["continuum"], cohort.treated),
        "n_people": len(cohort.rows),
        "n_families": len(set(cohort.families[cohort.rows])),
        "n_strata": {"raw": raw.n_strata, "adjusted": both.n_strata},
        "strata_headlines": {"raw": raw.headline, "adjusted": both.headline},
        "primary": cohort.primary,
        "n_factors": found.made.model.n_factors,
        "factor_rule": "parallel analysis" if factor_settings.n_factors is None else "fixed number",
        "covariates": cohort.treated,
        "splines": cohort.splines,
        "least_detectable": float(own.iloc[0]) if len(own) else None,
        "encoder_hash": cohort.table.encoder_hash,
        **{name: value for name, value in asdict(factor_settings).items() if name != "n_factors"},
        **asdict(test_settings),
    }


def item_rows(made: Factors, items: ItemTable) -> pd.DataFrame:
    """Every item with what became of it."""
    others = [
        {
            "item": name,
            "label": name,
            "state": "demographic",
            "reason": "",
            "missing": items.demographics[name].isna().mean(),
        }
        for name in items.demographics
    ]
    return pd.concat([made.items, pd.DataFrame(others)], ignore_index=True) if others else made.items


def factor_rows(made: Factors) -> pd.DataFrame:
    """A row per factor."""
    tops = []
    for column in made.model.loadings.T:
        order = np.argsort(-np.abs(column))[:4]
        tops.append("; ".join(f"{made.labels[item]} {column[item]:.2f}" for item in order))
    return pd.DataFrame(
        {
            "factor": list(made.names),
            "name": list(made.names.values()),
            "explained": made.model.explained,
            "congruence": np.median(made.congruence, axis=0),
            "congruence_low": np.percentile(made.congruence, 5, axis=0),
            "top_items": tops,
        }
    )


def loading_rows(made: Factors) -> pd.DataFrame:
    """A row per used item, a column per factor."""
    used = made.items[made.items["state"] == "used"]
    table = pd.DataFrame(made.model.loadings, columns=list(made.names))
    table.insert(0, "label", used["label"].to_numpy())
    table.insert(0, "item", used["item"].to_numpy())
    table["communality"] = np.square(made.model.loadings).sum(axis=1)
    return table


def score_rows(names: pd.Index, scores: np.ndarray, adjusted: np.ndarray, made: Factors) -> pd.DataFrame:
    """A row per participant: scores, and scores without covariates."""
    table = pd.DataFrame({"participant_id": names})
    table[list(made.names)] = scores
    table[[f"{name}_adjusted" for name in made.names]] = adjusted
    return table
