"""Pictures of strata: why this number of them, and where the people are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bundle.analysis.consensus import align
from bundle.analysis.strata import Strata

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000", "#999999", "#7F3C8D")
"""Okabe and Ito's, told apart by colour-blind people, then two more."""


def choice_picture(found: Strata) -> Figure:
    """Clusters against preference, stability of each number, and the null."""
    figure = Figure(figsize=(15, 4.3), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _draw_scan(left, found)
    _draw_candidates(middle, found)
    _draw_null(right, found)
    figure.suptitle(found.headline)
    return figure


def _draw_scan(panel: Any, found: Strata) -> None:
    for converged, marker, label in ((True, "o", "converged"), (False, "x", "did not converge")):
        rows = [row for row in found.scan if row.clustering.converged == converged]
        if rows:
            values = [-row.preference for row in rows], [row.clustering.n_clusters for row in rows]
            panel.plot(*values, marker, color="0.25" if converged else "#D55E00", markersize=5, label=label)
    chosen = found.choice.chosen
    if chosen:
        panel.plot(-chosen.scanned.preference, chosen.n_clusters, "o", markersize=12, fillstyle="none", color="#0072B2")
        panel.annotate(
            f"chosen: {chosen.n_clusters}",
            (-chosen.scanned.preference, chosen.n_clusters),
            xytext=(10, -16),
            textcoords="offset points",
            color="#0072B2",
        )
    panel.set(xscale="log", yscale="log", xlabel="- preference", ylabel="clusters", title="Affinity propagation")
    panel.invert_xaxis()
    panel.legend(loc="upper left")


def _draw_candidates(panel: Any, found: Strata) -> None:
    candidates = sorted(found.choice.candidates, key=lambda candidate: candidate.n_clusters)
    numbers = [candidate.n_clusters for candidate in candidates]
    means = np.array([candidate.stability.mean() for candidate in candidates])
    low = np.array([candidate.stability.min() for candidate in candidates])
    high = np.array([candidate.stability.max() for candidate in candidates])
    if numbers:
        panel.errorbar(numbers, means, [means - low, high - means], fmt="o-", color="0.25", capsize=3)
    line = float(np.percentile(found.test.stabilities, 95))
    panel.axhline(line, color="#D55E00", linestyle="--", label="95th percentile of cohorts without strata")
    panel.set(
        xlabel="clusters",
        ylabel="agreement with half-samples (ARI)",
        title="Stability: mean, least and most",
        ylim=(-0.05, 1.08),
    )
    panel.legend(loc="lower right")


def _draw_null(panel: Any, found: Strata) -> None:
    panel.hist(found.test.references, bins=20, color="0.7", label="cohorts without strata")
    panel.axvline(found.test.observed, color="#0072B2", linewidth=2, label="these people")
    panel.set(
        xlabel="silhouette of the chosen partition",
        ylabel=f"of {len(found.test.references)} cohorts",
        title=f"The whole choice, repeated: p = {found.test.p_value:.3g}",
    )
    panel.margins(y=0.25)
    panel.legend(loc="upper center")


def people_picture(results: Sequence[Strata], encoder_hashes: Sequence[str]) -> Figure:
    """People along the directions of most variance, coloured by the first encoder's strata; a column per encoder.

    The first row shows the first two axes, the second row the first and the third. Columns after the first are turned
    onto it.
    """
    first = results[0]
    planes = [(0, 1), (0, 2)] if first.space.n_dimensions > 2 else [(0, 1)]
    figure = Figure(figsize=(6 * len(results), 5 * len(planes) + 0.6), layout="constrained")
    panels = figure.subplots(len(planes), len(results), squeeze=False)
    n_axes = 1 + planes[-1][1]
    reference = first.points[:, :n_axes]
    for column, (found, name) in enumerate(zip(results, encoder_hashes, strict=True)):
        own = found.points[:, :n_axes]
        own = np.pad(own, ((0, 0), (0, n_axes - own.shape[1])))  # an encoder of fewer axes than the first one
        points = reference if found is first else align(own, reference)
        for row, plane in enumerate(planes):
            panel = panels[row, column]
            for label in range(first.n_strata):
                members = first.labels == label
                word = (
                    f"stratum {label + 1} ({members.sum()})" if first.n_strata > 1 else f"everybody ({members.sum()})"
                )
                colour = COLOURS[label % len(COLOURS)]
                panel.scatter(*points[members][:, plane].T, s=14, alpha=0.75, color=colour, label=word)
            stars = points[first.exemplars][:, plane]
            panel.scatter(*stars.T, s=150, marker="*", color="white", edgecolor="black", label="exemplar", zorder=3)
            panel.set(xlabel=f"axis {plane[0] + 1}", ylabel=f"axis {plane[1] + 1}", xticks=[], yticks=[])
            panel.set_aspect("equal", adjustable="datalim")
        panels[0, column].set_title(f"encoder {name}")
    panels[0, 0].legend(loc="best", fontsize=8)
    figure.suptitle(f"{first.headline}\n{n_axes} of {first.space.n_dimensions} dimensions: a picture is no evidence")
    return figure
