"""Pictures for the report: those that stages made, made smaller, and a few of its own."""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from bundle.data.problems import InputProblems
from bundle.strata.pictures import COLOURS

MOST_BYTES = 200_000
"""Pictures above this are made smaller."""
MOST_PIXELS = 1200
"""Their width then."""
SCREEN_DPI = 96
"""Pixels of a page to the inch; pictures have twice as many."""
MOST_PEOPLE = 1000
"""On a map; more would take long and hide each other."""
MARKERS = ("o", "s", "D", "^")


def embedded(file: Path) -> str:
    """A PNG as a `data:` address; a large one with fewer pixels and 256 colours.

    Raises:
        InputProblems: if the file is no picture.
    """
    content = file.read_bytes()
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            if len(content) > MOST_BYTES:
                content = _smaller(picture)
    except OSError as error:
        raise InputProblems(
            "Results folder", [f"{file} is no picture ({error}): run its stage again, or delete it."]
        ) from error
    return _address(content)


def drawn(figure: Figure) -> str:
    """A figure as a `data:` address."""
    FigureCanvasAgg(figure)
    stream = io.BytesIO()
    figure.savefig(stream, dpi=2 * SCREEN_DPI, format="png")
    with Image.open(stream) as picture:
        return _address(_smaller(picture))


def maps_of_people(codes: np.ndarray, strata: np.ndarray | None, seed: int = 0) -> dict[str, Figure]:
    """Participants by PCA and by t-SNE of their embeddings, coloured by stratum.

    Args:
        codes: `(N, E)`; at most `MOST_PEOPLE` of them, at random, are shown.
        strata: `(N,)` numbers from 1, 0 for none; None colours no participant.
        seed: of the sample and of t-SNE.

    Returns:
        Name -> figure; nothing for fewer than 5 participants.
    """
    labels = np.zeros(len(codes), dtype=int) if strata is None else strata
    if len(codes) > MOST_PEOPLE:
        chosen = np.sort(np.random.default_rng(seed).choice(len(codes), MOST_PEOPLE, replace=False))
        codes, labels = codes[chosen], labels[chosen]
    if len(codes) < 5:
        return {}
    axes = PCA(min(50, *codes.shape), random_state=seed)
    points = axes.fit_transform(codes)
    spread = axes.explained_variance_ratio_
    figures = {
        "PCA": _map(points, labels, [f"axis {n + 1} ({spread[n]:.0%} of the variance)" for n in range(2)])
    }  # fmt: skip
    with threadpool_limits(1):  # threads that wait for each other a thousand times cost more than they save
        near = TSNE(init="pca", perplexity=min(30, (len(codes) - 1) / 3), random_state=seed).fit_transform(points)
    return figures | {"t-SNE": _map(near, labels, ["t-SNE 1", "t-SNE 2"])}


def _map(points: np.ndarray, labels: np.ndarray, axes: Sequence[str]) -> Figure:
    figure = Figure(figsize=(5, 4.6), layout="constrained")
    panel = figure.subplots()
    for label in np.unique(labels):
        members = points[labels == label]
        colour = COLOURS[(label - 1) % len(COLOURS)] if label else "0.45"
        marker = MARKERS[(label - 1) % len(MARKERS)] if label else "o"
        word = f"stratum {label} ({len(members)})" if label else f"no stratum ({len(members)})"
        panel.scatter(
            members[:, 0], members[:, 1], s=18, alpha=0.75, color=colour, marker=marker, linewidths=0, label=word
        )
    panel.set(xlabel=axes[0], ylabel=axes[1], xticks=[], yticks=[])
    if len(np.unique(labels)) > 1:
        figure.legend(loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return figure


def r2_picture(people: pd.DataFrame) -> Figure:
    """R² of every held-out participant, a row per map; the line is the median."""
    names = list(dict.fromkeys(people["modality"]))
    figure = Figure(figsize=(5.5, 0.5 * len(names) + 0.9), layout="constrained")
    panel = figure.subplots()
    jitter = np.random.default_rng(0)
    for row, name in enumerate(names):
        values = people.loc[people["modality"] == name, "r2"].dropna().to_numpy()
        panel.scatter(
            values, row + jitter.uniform(-0.2, 0.2, len(values)), s=12, alpha=0.6, color=COLOURS[0], linewidths=0
        )
        panel.plot([np.median(values)] * 2, [row - 0.32, row + 0.32], color="black", linewidth=2)
    panel.set(yticks=range(len(names)), yticklabels=names, xlabel="R² (0 = mean image, 1 = perfect)")
    panel.invert_yaxis()
    panel.grid(axis="x", color="0.9")
    panel.set_axisbelow(True)
    return figure


def effects_picture(tests: pd.DataFrame, versions: Sequence[str]) -> Figure:
    """Epsilon squared of each factor with its 95 % interval, a mark per version; filled where found."""
    factors = tests.drop_duplicates("factor")
    figure = Figure(figsize=(5.5, 0.22 * len(factors) * (len(versions) + 0.6) + 1.6), layout="constrained")
    panel = figure.subplots()
    for number, version in enumerate(versions):
        rows = tests[tests["version"] == version].set_index("factor").reindex(factors["factor"])
        y = np.arange(len(rows)) + (number - (len(versions) - 1) / 2) * 0.8 / len(versions)
        colour = COLOURS[number]
        panel.hlines(y, rows["low"], rows["high"], color=colour, linewidth=2)
        found = (rows["found"] == "True").to_numpy()
        panel.scatter(
            rows["epsilon_squared"],
            y,
            s=34,
            marker=MARKERS[number % len(MARKERS)],
            color=np.where(found, colour, "white").tolist(),
            edgecolor=colour,
            linewidths=1.5,
            zorder=3,
            label=version,
        )
    names = [textwrap.fill(f"{row.factor} {row.name}", 24) for row in factors.itertuples(index=False)]
    panel.set(yticks=range(len(names)), yticklabels=names, xlabel="epsilon squared, 95 % interval")
    panel.axvline(0, color="0.6", linewidth=1)
    panel.invert_yaxis()
    figure.legend(loc="outside upper left", fontsize=9, frameon=False)
    return figure


def _smaller(picture: Image.Image) -> bytes:
    flat = Image.new("RGB", picture.size, "white")
    flat.paste(picture.convert("RGB"), mask=picture.convert("RGBA").getchannel("A"))
    if flat.width > MOST_PIXELS:
        flat = flat.resize((MOST_PIXELS, round(flat.height * MOST_PIXELS / flat.width)), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    flat.quantize(256, dither=Image.Dither.NONE).save(stream, format="png", optimize=True)
    return stream.getvalue()


def _address(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()
