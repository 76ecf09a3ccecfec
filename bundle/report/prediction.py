"""The report's section on predictions from embeddings and on repeated scans."""

from __future__ import annotations

import pandas as pd

from bundle.paths import PREDICTION
from bundle.report.blocks import Bullets, Column, Section, Table, Text, make_table, with_interval
from bundle.report.numbers import count, counted, digits, share
from bundle.report.results import Results
from bundle.report.stage_blocks import picture, table

WIDTH = 860
FIGURES = {"r2": "R²", "mae": "mean absolute error", "r": "r", "auc": "AUC", "balanced_accuracy": "balanced accuracy"}
COLUMNS = [
    Column("target", "Target"),
    Column("participants", "Participants"),
    Column("n_participants", "Number", count),
    Column("features", "Features"),
    Column("named", "Figure"),
    *with_interval("value", "Value", digits(3)),
    *with_interval("difference", "Embedding less this", digits(3), "difference_low", "difference_high"),
]
RELIABILITY = [
    Column("features", "Features"),
    Column("participants", "Participants"),
    Column("n_persons", "Persons", count),
    Column("n_scans", "Scans", count),
    *with_interval("identified", "Identified", share, "identified_low", "identified_high"),
    Column("chance", "By chance", share),
    Column("icc_median", "ICC(1,1), median", digits(2)),
    *with_interval("image_icc", "I2C2", digits(2), "image_icc_low", "image_icc_high"),
]


def prediction_section(results: Results) -> list[Section]:
    """One section if `predicting` has run, none otherwise."""
    facts, figures = results.facts.get(PREDICTION), results.table(PREDICTION, "figures")
    if facts is None or figures is None:
        return []
    section = Section("prediction", "Prediction from embeddings", [Text(str(facts["headline"]))])
    section.blocks += picture(
        results,
        PREDICTION,
        "predictions.png",
        f"Predicted against true values of {', '.join(facts['targets'])}, and figures of all features side by side.",
        "Left: predictions from the embedding by regressions on participants of other families. Right: the same from each "
        f"set of features, with 95 % intervals over families. Numbers: {PREDICTION}/predictions.tsv, figures.tsv.",
        WIDTH,
    )
    section.blocks.append(_figures(figures, facts["settings"]))
    section.blocks.append(Bullets([str(note) for note in facts["notes"]]))
    reliability = results.table(PREDICTION, "reliability")
    if reliability is not None:
        section.blocks += table(
            results, PREDICTION, "reliability", RELIABILITY, "Repeated scans of one participant",
            note="Identified: share of scans whose nearest other scan is of the same participant. ICC(1,1): share of a feature's "
            "variance that lies between participants; I2C2: the same of all features together.",
        )  # fmt: skip
    return [section]


def _figures(figures: pd.DataFrame, settings: dict[str, int]) -> Table:
    shown = figures[figures["figure"].isin(["r2", "mae", "auc", "balanced_accuracy"])]
    note = (
        f"Ridge regression in {settings['n_folds']} folds of whole families, {counted(settings['n_repeats'], 'time')}; the penalty is "
        "chosen in folds of the others. Low and high: 95 % interval, families resampled. Held out: the network was neither "
        "trained nor chosen on them. R² is about the mean of the other folds, and below 0 if worse than it."
    )
    named = shown.assign(named=shown["figure"].map(FIGURES))
    return make_table(named, COLUMNS, "How well columns are predicted", f"{PREDICTION}/figures.tsv", note)
