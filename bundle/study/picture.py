"""The picture of a study: R², what hangs on the embedding, and factors, run by run."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bundle.study.settings import StudySettings

PANELS = {
    "r2": {"r2": "mean over maps"},
    "R² lost with another embedding": {
        "lost_code_zeroed": "zeroed",
        "lost_code_mean": "mean embedding",
        "lost_code_swapped": "another family's",
    },
    "true factors read from the embedding": {"factors_r": "mean r", "least_factor_r": "least r"},
    "strata and the true ones": {"ari": "adjusted Rand"},
}


def study_picture(study: StudySettings, rows: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """A row per run: small points are seeds, large ones means, bars 95 % t intervals over seeds.

    Args:
        study: its question is the title.
        rows: a row per run and seed, see `bundle.study.results.seed_row`.
        table: a row per run, see `bundle.study.results.run_rows`.
    """
    panels = {title: {f: word for f, word in figures.items() if f in table} for title, figures in PANELS.items()}
    panels = {title: figures for title, figures in panels.items() if figures}
    places = {run: -number for number, run in enumerate(table["run"])}
    figure = Figure(figsize=(3.6 * len(panels) + 1.4, 0.36 * len(table) + 1.9), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for panel, (title, figures) in zip(axes, panels.items(), strict=True):
        for number, (name, word) in enumerate(figures.items()):
            shift = 0.22 * ((len(figures) - 1) / 2 - number)
            heights = np.array([places[run] for run in table["run"]]) + shift
            reach = np.stack([table[name] - table[f"{name}_low"], table[f"{name}_high"] - table[name]])
            panel.errorbar(
                table[name],
                heights,
                xerr=np.nan_to_num(reach),
                fmt="o",
                ms=6,
                capsize=2,
                color=f"C{number}",
                label=word,
            )
            if (table["seeds"] > 1).any():
                panel.plot(rows[name], rows["run"].map(places) + shift, ".", ms=4, color="0.3", alpha=0.6, zorder=3)
        panel.axvline(0, color="0.7", linewidth=1)
        panel.set(xlabel=title if len(figures) > 1 else f"{title} ({next(iter(figures.values()))})")
        panel.grid(axis="x", color="0.9")
        if table[list(figures)].abs().to_numpy().max() == 0:  # an axis about 0 alone would show rounding
            panel.set_xlim(-0.05, 1.05)
        if len(figures) > 1:
            panel.legend(
                fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(figures), handletextpad=0.2
            )
    axes[0].set_yticks([*places.values()], [*places])
    axes[0].set_ylim(-len(table) + 0.4, 0.6)
    figure.suptitle(study.question, fontsize=11)
    return figure
