"""Pictures of strata: why this number of them, and where the participants are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bundle.analysis.consensus import align
from bundle.analysis.strata import Strata

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000", "#999999", "#7F3C8D")
"""Okabe and Ito's, told apart by colour-blind participants, then two more."""


def choice_picture(found: Strata) -> Figure:
    """Stability of each number of clusters, participants along the line across the least deep gap, and the null."""
    figure = Figure(figsize=(15, 4.3), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _draw_candidates(left, found)
    _draw_gap(middle, found)
    _draw_null(right, found)
    figure.suptitle(found.headline)
    return figure


def _draw_candidates(panel: Any, found: Strata) -> None:
    candidates = found.choice.candidates
    numbers = [candidate.n_clusters for candidate in candidates]
    means = np.array([candidate.stability.mean() for candidate in candidates])
    if numbers:
        panel.plot(numbers, means, "o-", color="0.25")
    chosen = found.choice.chosen
    if chosen:
        panel.plot(chosen.n_clusters, chosen.stability.mean(), "o", markersize=12, fillstyle="none", color="#0072B2")
    looked_at = [candidate for candidate in candidates if candidate.border_agreement is not None]
    if looked_at:
        panel.plot(
            [candidate.n_clusters for candidate in looked_at],
            [candidate.border_agreement for candidate in looked_at],
            "s", color=COLOURS[1], label="borders among finer clusters",
        )  # fmt: skip
    panel.axhline(
        found.choice.settings.least_stability, color="#D55E00", linestyle="--", label="least that is asked for"
    )
    panel.set(
        xlabel="clusters",
        ylabel="Jaccard index",
        title="Stability without a fold of families, and borders",
        ylim=(-0.05, 1.08),
    )
    panel.legend(loc="best")


def _draw_gap(panel: Any, found: Strata) -> None:
    """Where participants are who had no part in the clustering."""
    chosen = found.choice.chosen
    panel.set(xlabel="place between two means (0 and 1)", ylabel="participants", title="Across the least deep gap")
    if chosen is None or chosen.fits is None or not chosen.pairs:
        panel.text(0.5, 0.5, "no stable partition", ha="center", transform=panel.transAxes)
        return
    depths = [-np.inf if gap is None else gap.depth for gap in chosen.gaps]
    place = int(np.argmin(depths))
    positions, is_second = chosen.fits.positions(*chosen.pairs[place])
    edges = np.linspace(max(positions.min(), -2), min(positions.max(), 3), 31)
    sides = [positions[~is_second], positions[is_second]]
    words = [f"cluster {number + 1}" for number in found.choice_pairs[place]]
    first_is_larger = len(sides[0]) >= len(sides[1])
    sides = sides if first_is_larger else sides[::-1]
    panel.hist(sides, bins=edges, stacked=True, color=COLOURS[:2], label=words)
    depth = "none" if not np.isfinite(depths[place]) else f"{depths[place]:.2f}"
    panel.set_title(f"Across the least deep gap: depth {depth}", fontsize=10)
    panel.legend(loc="upper right")


def _draw_null(panel: Any, found: Strata) -> None:
    references = found.test.references
    finite = references[np.isfinite(references)]
    without = len(references) - len(finite)
    panel.hist(finite, bins=20, color="0.7", label="cohorts without strata")
    if np.isfinite(found.test.observed):
        panel.axvline(found.test.observed, color="#0072B2", linewidth=2, label="these participants")
    panel.set(
        xlabel=f"evidence for gaps (z; none in {without} cohorts)",
        ylabel=f"of {len(references)} cohorts",
        title=f"The whole choice, repeated: p = {found.test.p_value:.3g}",
    )
    panel.margins(y=0.25)
    panel.legend(loc="upper center")


def people_picture(results: Sequence[Strata], encoder_hashes: Sequence[str]) -> Figure:
    """Participants along the directions of most variance, coloured by the first encoder's strata; a column per encoder.

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
                    f"stratum {label + 1} ({members.sum()})"
                    if first.n_strata > 1
                    else f"all participants ({members.sum()})"
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
