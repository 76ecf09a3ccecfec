"""How often two groups are found, against their distance, their sizes and the size of the cohort."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

COLUMNS = {"participants": int, "axes": int, "percent": int, "separation": float}
NAME = (
    r"power: (?P<participants>\d+) participants, (?P<axes>\d+) axes, (?P<percent>\d+)%, (?P<separation>[\d.]+) apart$"
)
COLOURS = {50: "#0072B2", 25: "#009E73", 10: "#E69F00", 5: "#D55E00"}


def power_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of a calibration table about two groups, with `participants`, `axes`, `percent` (the smaller one) and `separation`."""
    named = table["scenario"].str.extract(NAME)
    is_power = named["participants"].notna() & (table["way"] == "gaps")
    return table[is_power].join(named[is_power].astype(COLUMNS))


def power_picture(rows: pd.DataFrame) -> Figure:
    """A panel per size of cohort, a line per share of the smaller group, with 95 % intervals; see `power_rows`."""
    sizes = sorted(set(zip(rows["participants"], rows["axes"], strict=True)))
    figure = Figure(figsize=(3.4 * len(sizes) + 1, 3.6), layout="constrained")
    panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
    for panel, (people, axes) in zip(panels, sizes, strict=True):
        own = rows[(rows["participants"] == people) & (rows["axes"] == axes)]
        for percent, line in own.groupby("percent", sort=True):
            line = line.sort_values("separation")
            colour = COLOURS.get(int(str(percent)), "0.4")
            away = [line["rate"] - line["low"], line["high"] - line["rate"]]
            panel.errorbar(
                line["separation"], line["rate"], yerr=away, fmt="o-", color=colour, capsize=2, label=f"{percent} %"
            )
        panel.axhline(0.8, color="0.5", linestyle="--", linewidth=1)
        panel.set(title=f"{people} participants, {axes} axes", xlabel="distance of means (SD)", ylim=(-0.03, 1.03))
    panels[0].set_ylabel("share of cohorts in which they are found")
    panels[0].legend(title="smaller group", fontsize=8)
    return figure
