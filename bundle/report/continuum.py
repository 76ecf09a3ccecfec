"""The report's section on what embeddings predict of each factor without strata."""

from __future__ import annotations

import pandas as pd

from bundle.paths import PHENOTYPING
from bundle.report.blocks import Section, Text
from bundle.report.by_factor import spread
from bundle.report.numbers import count, listed
from bundle.report.results import Results
from bundle.report.stage_blocks import picture


def continuum_section(results: Results) -> Section:
    """How much of each factor embeddings predict without strata."""
    section = Section("continuum", "Continuum")
    frame = results.table(PHENOTYPING, "continuum")
    if frame is None:
        section.blocks.append(Text("The continuum was not analysed.", "note"))
        return section
    if results.has_strata:
        meaning = "If embeddings predict a factor better than strata do, participants differ by degrees as well as by stratum."
    else:
        meaning = "Without strata the question is how much of each factor the embeddings predict by degrees."
    section.blocks.append(
        Text(
            f"{meaning} R² is measured on families that the prediction was not fitted to: 0 is no better than the "
            "mean, below 0 is worse."
        )
    )
    section.blocks += picture(
        results,
        PHENOTYPING,
        "continuum.png",
        "Cross-validated R squared of each factor by predictor, with intervals.",
        f"What strata and embeddings predict of each factor, with 95 % intervals. Numbers: {PHENOTYPING}/continuum.tsv.",
    )
    primary = str(results.facts[PHENOTYPING]["primary"])
    rows = frame[frame["version"] == primary]
    verdict = continuum_verdict(rows)
    if verdict:
        section.blocks.append(Text(verdict))
    heads = rows["predictor"] + " (" + rows["n_predictors"].map(count) + ")"
    note = (
        "R² with its 95 % interval; in brackets how many values predict. Components: as many of the embeddings' principal "
        "axes as strata need. Ridge: all axes that hold the whole embedding, with weights shrunk. Linear fusion: the same on "
        "principal components of the maps themselves, without the network."
    )
    caption = f"Factors predicted ({primary})"
    section.blocks.append(spread(rows, heads, "r2", 2, caption, f"{PHENOTYPING}/continuum.tsv", note))
    return section


def continuum_verdict(rows: pd.DataFrame) -> str:
    """In which factors the whole embedding says more than strata, or less; empty without strata."""
    if "above_low" not in rows or "strata" not in set(rows["predictor"]):
        return ""
    ridge = rows[rows["predictor"] == "ridge"].set_index("factor")
    more, less = ridge.index[ridge["above_low"] > 0], ridge.index[ridge["above_high"] < 0]
    parts = []
    if len(more):
        parts.append(
            f"The whole embedding predicts {listed(list(more))} better than strata do: there, participants differ by degrees."
        )
    if len(less):
        parts.append(f"Strata predict {listed(list(less))} better than the whole embedding.")
    if len(more) + len(less) < len(ridge):
        parts.append("For the other factors neither is better beyond chance (95 % intervals of the difference).")
    return " ".join(parts)
