"""A picture of cross-validation: R² in every fold, and over all of them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from bundle.report.numbers import with_ends

NETWORK, PCA = "#0072B2", "#E69F00"


def fold_picture(per_fold: pd.DataFrame, summary: pd.DataFrame, folds: Sequence[int]) -> Figure:
    """R² per fold, a panel per modality; line and band are all held-out participants with their 95 % interval.

    Args:
        per_fold: `fold`, `modality`, `r2`, `r2_low`, `r2_high`, `pca_r2`.
        summary: the same per modality.
        folds: all that there are to be; those without a row are shown as missing.
    """
    modalities = list(summary["modality"])
    figure = Figure(figsize=(2.9 * len(modalities) + 0.8, 0.27 * len(folds) + 1.7), layout="constrained")
    panels = figure.subplots(1, len(modalities), sharey=True, squeeze=False)[0]
    places = {fold: place for place, fold in enumerate(folds)}
    for panel, modality in zip(panels, modalities, strict=True):
        rows = per_fold[per_fold["modality"] == modality]
        y = rows["fold"].map(places)
        pooled = summary[summary["modality"] == modality].iloc[0]
        panel.axvspan(pooled["r2_low"], pooled["r2_high"], color=NETWORK, alpha=0.15, linewidth=0)
        panel.axvline(pooled["r2"], color=NETWORK, linewidth=1.5, label="all held-out participants, 95 % interval")
        panel.hlines(y, rows["r2_low"], rows["r2_high"], color=NETWORK, linewidth=1.5)
        panel.plot(rows["r2"], y, "o", color=NETWORK, markersize=5, label="network, fold by fold")
        panel.plot(rows["pca_r2"], y, "D", color=PCA, markersize=4, label="best PCA")
        panel.set_title(f"{modality}: {with_ends(pooled['r2'], pooled['r2_low'], pooled['r2_high'])}")
        panel.set(xlabel="r2", ylim=(len(folds) - 0.5, -0.5))
        panel.grid(axis="x", color="0.9")
        panel.set_axisbelow(True)
    done = set(per_fold["fold"])
    panels[0].set_yticks(list(places.values()), [f"fold {f}" if f in done else f"fold {f} (missing)" for f in folds])
    missing = [str(fold) for fold in folds if fold not in done]
    if missing:
        figure.suptitle(f"Incomplete: fold {', '.join(missing)} missing")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return figure
