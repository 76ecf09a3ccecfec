"""Pictures of predictions: predicted against true, and figures of all features side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bundle.analysis.prediction import Target
from bundle.strata.pictures import COLOURS

FIGURE_NAMES = {"r2": "R²", "auc": "AUC"}
CHANCE = {"r2": 0.0, "auc": 0.5}


def predictions_picture(
    targets: Sequence[Target],
    scores: Mapping[str, np.ndarray],
    held_out: Mapping[str, np.ndarray],
    figures: pd.DataFrame,
) -> Figure:
    """A row per target: predictions from the embedding on the left, figures of all features on the right.

    Args:
        targets: what is predicted.
        scores: target -> `(N,)` from the embedding: predicted value; of two levels, the score of the second; of more, the
            score of the participant's own level.
        held_out: target -> `(N,)` whether the network never saw the participant's images.
        figures: `target`, `participants`, `features`, `figure`, `value`, `low`, `high`.
    """
    height = max(3.2, 1.6 + 0.35 * figures["features"].nunique())
    figure = Figure(figsize=(9.5, height * len(targets)), layout="constrained")
    for target, (left, right) in zip(targets, figure.subplots(len(targets), 2, squeeze=False), strict=True):
        _plot_scores(left, target, scores[target.name], held_out[target.name])
        _plot_figures(right, target, figures[figures["target"] == target.name])
    return figure


def _plot_scores(panel: Axes, target: Target, scores: np.ndarray, held_out: np.ndarray) -> None:
    groups = [(~held_out, "0.6", "seen by the network in training"), (held_out, COLOURS[0], "held out from it")]
    for rows, colour, label in groups:
        if not rows.any():
            continue
        if target.levels:
            # points of a level side by side in the order of the table, so that they do not cover each other
            across = target.values[rows] + np.linspace(-0.3, 0.3, int(rows.sum()))
            panel.plot(across, scores[rows], ".", color=colour, label=label, alpha=0.7)
        else:
            panel.plot(target.values[rows], scores[rows], ".", color=colour, label=label, alpha=0.7)
    if target.levels:
        panel.set_xticks(range(len(target.levels)), target.levels)
        shown = target.levels[1] if len(target.levels) == 2 else "own level"
        panel.set(xlabel=target.name, ylabel=f"score for {shown}")
    else:
        ends = [float(target.values.min()), float(target.values.max())]
        panel.plot(ends, ends, color="0.4", linewidth=1)
        panel.set(xlabel=f"{target.name}, true", ylabel="predicted")
    panel.set_title(f"{target.name} from the embedding, other families' model", fontsize=10)
    if (~held_out).any() and held_out.any():
        panel.legend(fontsize=8)


def _plot_figures(panel: Axes, target: Target, figures: pd.DataFrame) -> None:
    name = "auc" if target.levels else "r2"
    own = figures[figures["figure"] == name]
    features = own["features"].drop_duplicates().tolist()
    groups = own["participants"].drop_duplicates().tolist()
    for number, participants in enumerate(groups):
        rows = own[own["participants"] == participants].set_index("features").loc[features]
        heights = np.arange(len(features)) + 0.25 * (number - (len(groups) - 1) / 2)
        spans = np.nan_to_num(np.abs([rows["value"] - rows["low"], rows["high"] - rows["value"]]))
        panel.errorbar(
            rows["value"], heights, xerr=spans, fmt="o", color=COLOURS[number], capsize=2, label=participants
        )
    panel.axvline(CHANCE[name], color="0.6", linewidth=1)
    panel.set_yticks(range(len(features)), features)
    panel.set_ylim(len(features) - 0.5, -0.5)
    panel.set(xlabel=f"{FIGURE_NAMES[name]}, 95 % interval over families")
    panel.set_title(f"{target.name}: features side by side", fontsize=10)
    if len(groups) > 1:
        panel.legend(fontsize=8)
