"""What was found about phenotypes, as tables to be written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bundle.analysis.factors import FactorModel
from bundle.analysis.phenotyping import BOTH_ADJUSTED, PRIMARY
from bundle.data.items import ItemTable


@dataclass(frozen=True)
class Factors:
    """Factors of the people who are analysed.

    Attributes:
        model: from items to scores.
        names: factor id (F1 ...) -> name.
        items: what became of each item.
        values: `(N, I)` used items, NaN if missing.
        labels: of them.
        congruence: `(splits, F)` between halves of the families.
    """

    model: FactorModel
    names: dict[str, str]
    items: pd.DataFrame
    values: np.ndarray
    labels: list[str]
    congruence: np.ndarray


@dataclass(frozen=True)
class Grouping:
    """A partition of everybody who is embedded.

    Attributes:
        labels: `(N,)` strata from 1, all 1 if there are none.
        headline: of the search.
        n_tried: clusters of the chosen partition, also where it is no better than chance.
        codes: `(N, E)` that it was found in, covariates taken out or not.
    """

    labels: np.ndarray
    headline: str
    n_tried: int
    codes: np.ndarray

    @property
    def n_strata(self) -> int:
        """1 if no discrete strata were found."""
        return int(self.labels.max())


def headline(tests: pd.DataFrame, grouping: Grouping, continuum: pd.DataFrame, covariates: Sequence[str]) -> str:
    """The finding in one sentence."""
    after = f" after {', '.join(covariates)} were taken out of codes and phenotypes" if covariates else ""
    if grouping.n_strata < 2:
        best = continuum[(continuum["version"] == BOTH_ADJUSTED) & (continuum["predictor"] == "ridge")]
        best = best.loc[best["r2"].idxmax()]
        much = (
            f"predicts {best['factor']} {best['name']} best (R² {best['r2']:.2f})"
            if best["low"] > 0
            else "predicts none"
        )
        return f"No discrete strata were found{after}. As a continuum the code {much}."
    own = tests[tests["version"] == PRIMARY]
    found = own[own["found"]]
    names = "; ".join(f"{row.factor} {row.name_}" for row in found.rename(columns={"name": "name_"}).itertuples())
    which = f": {names}" if len(found) else ""
    return f"{len(found)} of {len(own)} phenotype factors differ between {grouping.n_strata} strata{after}{which}."


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
    """A row per person: scores, and scores without covariates."""
    table = pd.DataFrame({"participant_id": names})
    table[list(made.names)] = scores
    table[[f"{name}_adjusted" for name in made.names]] = adjusted
    return table
