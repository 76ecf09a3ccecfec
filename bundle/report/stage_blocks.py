"""Blocks from what a stage left: its pictures, its tables, or a line that it has not run."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure as PlotFigure

from bundle.paths import CLUSTERS, CROSS_VALIDATION, EMBEDDINGS, EVALUATION, PHENOTYPING, PREDICTION, TRAINING
from bundle.report.blocks import Column, Figure, Table, Text, make_table
from bundle.report.pictures import SCREEN_DPI, drawn, embedded
from bundle.report.results import Results

STAGE_WORDS = {
    TRAINING: "Training has",
    EVALUATION: "Evaluation has",
    EMBEDDINGS: "Embedding has",
    CLUSTERS: "Clustering has",
    PHENOTYPING: "Phenotype analysis has",
    PREDICTION: "Prediction has",
    CROSS_VALIDATION: "Cross-validation has",
}


def absent(results: Results, stage: str) -> Text:
    """One line for a stage that has not run."""
    return Text(f"{STAGE_WORDS[stage]} not been run. The command is", "absent", results.command(stage))


def picture(
    results: Results, stage: str, name: str, alt: str, caption: str, width: int = 0, descriptive: bool = False
) -> list[Figure]:
    """A stage's picture, if it is there.

    Raises:
        InputProblems: if the file is no picture.
    """
    file = results.file(stage, name)
    return [Figure(embedded(file), alt, caption, width, descriptive=descriptive)] if file.is_file() else []


def own_picture(figure: PlotFigure, alt: str, caption: str) -> Figure:
    """A picture that is drawn for the report."""
    return Figure(drawn(figure), alt, caption, round(SCREEN_DPI * figure.get_figwidth()), wide=False)


def table(results: Results, stage: str, name: str, columns: list[Column], caption: str, **more: Any) -> list[Table]:
    """A stage's table, if it is there."""
    frame = results.table(stage, name)
    return [] if frame is None else [make_table(frame, columns, caption, f"{stage}/{name}.tsv", **more)]
