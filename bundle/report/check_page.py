"""The page of the check: what must be fixed, and all participants' images, the oddest first."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from bundle.analysis.image_measures import THUMBNAIL, ImageMeasures
from bundle.data.findings import LEFT_OUT, LOOK, MEND, SOUND, STATUSES, Finding
from bundle.report.numbers import counted, digits, share
from bundle.report.template import render_template

MOST_LINES = 300
"""Lines of a list that are shown; the table holds all."""
TITLES = {MEND: "To be fixed before training", LOOK: "Worth a look", LEFT_OUT: "Left out"}
MEASURES = {
    "mean": "mean",
    "spread": "spread",
    "correlation": "likeness",
    "overlap": "overlap",
    "outside_unit": "outside [0, 1]",
    "negative": "below 0",
}
SHARES = ("outside_unit", "negative")


@dataclass(frozen=True)
class Card:
    """One image: its thumbnail, what is odd about it, its measures (name, value, whether it is far from the cohort)."""

    modality: str
    picture: str
    alt: str
    status: str
    words: Sequence[str]
    measures: Sequence[tuple[str, str, bool]]


@dataclass(frozen=True)
class Person:
    """One row of the page."""

    participant_id: str
    status: str
    cards: Sequence[Card]


def render_check(
    findings: Sequence[Finding],
    flow: Sequence[tuple[str, int, str]],
    measures: pd.DataFrame,
    images: Sequence[ImageMeasures],
    most_people: int,
    outlier_limit: float,
) -> str:
    """The page as text; it needs no other file.

    Args:
        findings: all lines.
        flow: steps from the tables to those analysed.
        measures: a row per image: participant_id, modality, oddness, measures and their `z_...`.
        images: of the same rows.
        most_people: shown, the oddest first.
        outlier_limit: robust standard deviations from which a measure is red.
    """
    measures = measures.reset_index(drop=True)
    rows_of = measures.groupby("modality", sort=False).groups
    windows = {modality: _window([images[row] for row in rows]) for modality, rows in rows_of.items()}
    usual = [
        Card(
            str(modality),
            _address(_median_strip([images[row] for row in rows], windows[modality])),
            f"Median {modality} of the cohort",
            SOUND,
            [],
            [],
        )
        for modality, rows in rows_of.items()
    ]
    lists = [(TITLES[status], status, [f for f in findings if f.status == status]) for status in TITLES]
    n_files = len({(f.participant_id, f.modality) for f in findings if f.modality})
    return render_template(
        "check.html",
        headline=_headline(findings),
        key_figures=[(str(flow[-1][1]), "participants to be analysed"), (f"{n_files:,}", "images looked at or missed")]
        + [(str(len(rows)), TITLES[status].lower()) for _, status, rows in lists],
        flow=flow,
        lists=[(title, status, rows[:MOST_LINES], len(rows)) for title, status, rows in lists if rows],
        usual=usual,
        people=_oddest_people(findings, measures, images, windows, most_people, outlier_limit),
        n_people=measures["participant_id"].nunique(),
        most_people=most_people,
        outlier_limit=f"{outlier_limit:g}",
    )


def _oddest_people(
    findings: Sequence[Finding],
    measures: pd.DataFrame,
    images: Sequence[ImageMeasures],
    windows: Mapping[Any, tuple[float, float]],
    most_people: int,
    outlier_limit: float,
) -> list[Person]:
    by_image: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        if finding.status in (MEND, LOOK):
            by_image.setdefault((finding.participant_id, finding.modality), []).append(finding)
    rows_of = measures.groupby("participant_id", sort=False)
    oddest = rows_of["oddness"].max().sort_values(ascending=False, kind="stable")
    people = []
    for name in oddest.index[:most_people]:
        cards = []
        for row in rows_of.groups[name]:
            modality = measures.loc[row, "modality"]
            own = by_image.get((name, modality), [])
            cards.append(_card(measures.loc[row], images[row], windows[modality], own, outlier_limit))
        people.append(Person(name, min((card.status for card in cards), key=STATUSES.index), cards))
    return people


def _headline(findings: Sequence[Finding]) -> str:
    wrong = [finding for finding in findings if finding.status == MEND]
    odd = sum(finding.status == LOOK for finding in findings)
    if not wrong:
        return "Nothing must be fixed" + (f"; {counted(odd, 'thing is', 'things are')} worth a look." if odd else ".")
    whom = len({finding.participant_id for finding in wrong if finding.participant_id})
    return f"{counted(len(wrong), 'thing')} to be fixed before training" + (
        f", in {counted(whom, 'participant', 'participants')}." if whom else "."
    )


def _card(
    row: pd.Series,
    image: ImageMeasures,
    window: tuple[float, float],
    findings: Sequence[Finding],
    outlier_limit: float,
) -> Card:
    numbers = []
    for name, label in MEASURES.items():
        if name in SHARES and row[name] == 0:
            continue
        value = (
            share(row[name])
            if name in SHARES
            else (digits(3)(row[name]) if abs(row[name]) < 10 else f"{row[name]:.4g}")
        )
        numbers.append((label, value, abs(row[f"z_{name}"]) > outlier_limit))
    status = min((finding.status for finding in findings), key=STATUSES.index, default=SOUND)
    words = [f"{f.reason}." if not f.how_to_mend else f"{f.reason}: {f.how_to_mend}." for f in findings]
    alt = f"{row['participant_id']}, {row['modality']}: sagittal, coronal and axial slice through the middle"
    return Card(str(row["modality"]), _address(_strip(image, window)), alt, status, words, numbers)


def _window(images: Sequence[ImageMeasures]) -> tuple[float, float]:
    """The same for all participants, so that an image of other values stands out."""
    low, high = np.median([image.window for image in images], axis=0)
    return float(low), float(max(high, low + 1e-6))


def _strip(image: ImageMeasures, window: tuple[float, float]) -> np.ndarray:
    """Three slices side by side, uint8, in the cohort's window."""
    low, high = image.window
    parts = []
    for picture in image.slices:
        values = low + picture.astype(np.float32) / 255 * (high - low)
        scaled = (255 * np.clip((values - window[0]) / (window[1] - window[0]), 0, 1)).astype(np.uint8)
        drawn = Image.fromarray(scaled)
        drawn.thumbnail((THUMBNAIL, THUMBNAIL))
        square = Image.new("L", (THUMBNAIL, THUMBNAIL))
        square.paste(drawn, ((THUMBNAIL - drawn.width) // 2, (THUMBNAIL - drawn.height) // 2))
        parts.append(np.asarray(square))
    return np.concatenate(parts, axis=1)


def _median_strip(images: Sequence[ImageMeasures], window: tuple[float, float]) -> np.ndarray:
    return np.median([_strip(image, window) for image in images[:200]], axis=0).astype(np.uint8)


def _address(picture: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="jpeg", quality=72, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
