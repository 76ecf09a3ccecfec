"""Pictures of phenotype factors, strata profiles and what the embedding is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bundle.strata.pictures import COLOURS


def loadings_picture(loadings: pd.DataFrame, factors: pd.DataFrame) -> Figure:
    """Heat map, a row per item and a column per factor; numbers where a loading is 0.3 or more.

    Args:
        loadings: `item`, `label` and a column per factor.
        factors: `factor`, `name`, `explained`.
    """
    names = factors["factor"].tolist()
    values = loadings[names].to_numpy()
    order = np.lexsort((-np.abs(values).max(axis=1), np.abs(values).argmax(axis=1)))
    figure = Figure(figsize=(4.5 + 0.75 * len(names), 1.8 + 0.26 * len(values)), layout="constrained")
    panel = figure.subplots()
    image = panel.imshow(values[order], cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    panel.set_yticks(range(len(order)), loadings["label"].iloc[order], fontsize=8)
    ticks = [f"{row.factor}\n{row.explained:.0%}" for row in factors.itertuples()]
    panel.set_xticks(range(len(names)), ticks, fontsize=8)
    panel.tick_params(length=0)
    for row, item in enumerate(order):
        for column in range(len(names)):
            if abs(values[item, column]) >= 0.3:
                colour = "white" if abs(values[item, column]) > 0.6 else "black"
                text = f"{values[item, column]:.2f}"
                panel.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    figure.colorbar(image, ax=panel, shrink=0.6, label="loading")
    panel.set_title("Loadings of items on factors, with each factor's share of variance", fontsize=10)
    return figure


def profile_picture(profile: pd.DataFrame, tests: pd.DataFrame, significance: float) -> Figure:
    """Mean factor scores of strata with 95 % intervals; factors that differ are in bold.

    Args:
        profile: rows of one version: `factor`, `name`, `stratum`, `mean`, `low`, `high`.
        tests: rows of the same version: `factor`, `found`.
        significance: largest q of a factor that differs.
    """
    factors = tests["factor"].tolist()
    series = []
    for stratum in sorted(profile["stratum"].unique()):
        rows = profile[profile["stratum"] == stratum]
        label = f"stratum {stratum} ({rows['n_people'].iloc[0]})"
        series.append((label, COLOURS[(stratum - 1) % len(COLOURS)], rows))
    figure, panel = _interval_plot(factors, series, "mean", 0.55)
    for line in range(1, len(factors)):
        panel.axhline(line - 0.5, color="0.92", linewidth=1)
    found = tests.set_index("factor")["found"]
    for tick, factor in zip(panel.get_yticklabels(), factors, strict=True):
        tick.set_fontweight("bold" if found[factor] else "normal")
    panel.set_xlabel("mean score less that of all, standard deviations; 95 % interval")
    panel.set_title(f"Factors in bold differ between strata (q at most {significance:g})", fontsize=10)
    return figure


def continuum_picture(continuum: pd.DataFrame) -> Figure:
    """Cross-validated R squared of each factor by strata, by as many embedding components, by ridge and by linear fusion.

    Args:
        continuum: rows of one version: `factor`, `name`, `predictor`, `r2`, `low`, `high`.
    """
    factors = continuum["factor"].unique().tolist()
    series = [
        (predictor, COLOURS[number], continuum[continuum["predictor"] == predictor])
        for number, predictor in enumerate(continuum["predictor"].unique())
    ]
    figure, panel = _interval_plot(factors, series, "r2", 0.6)
    panel.set_xlabel("cross-validated share of variance explained, 95 % interval")
    panel.set_xlim(left=max(-0.3, continuum["low"].min() - 0.02))
    panel.set_title("Clusters or a continuum: what predicts each factor in participants of other families", fontsize=10)
    return figure


def _interval_plot(
    factors: Sequence[str], series: Sequence[tuple[str, str, pd.DataFrame]], value: str, row_height: float
) -> tuple[Figure, Axes]:
    """A row per factor from the top down; in it a value with its interval for each series, one below the other.

    Args:
        factors: ids.
        series: (label, colour, rows with `factor`, `name`, `low`, `high` and the value, a row per factor).
        value: name of the value's column.
        row_height: in inches.
    """
    figure = Figure(figsize=(9, 1.4 + row_height * len(factors)), layout="constrained")
    panel = figure.subplots()
    offsets = np.linspace(-0.28, 0.28, len(series))
    for offset, (label, colour, table) in zip(offsets, series, strict=True):
        rows = table.set_index("factor").loc[list(factors)]
        heights = np.arange(len(factors)) + offset
        spans = [rows[value] - rows["low"], rows["high"] - rows[value]]
        panel.errorbar(rows[value], heights, xerr=spans, fmt="o", color=colour, capsize=2, markersize=5, label=label)
    panel.axvline(0, color="0.6", linewidth=1)
    names = series[0][2].set_index("factor")["name"]
    panel.set_yticks(range(len(factors)), [f"{factor}: {names[factor]}" for factor in factors], fontsize=9)
    panel.set_ylim(len(factors) - 0.5, -0.5)
    figure.legend(loc="outside lower center", ncols=min(5, len(series)), fontsize=9)
    return figure, panel
