"""PNG pictures for participants to look at; drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bundle.data.atomic import atomic_path


def save_figure(figure: Figure, file: str | Path) -> None:
    """Write a PNG, whole or not at all."""
    FigureCanvasAgg(figure)
    with atomic_path(file) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def learning_curve(rows: Sequence[Mapping[str, float]], modalities: Sequence[str]) -> Figure:
    """Training loss and validation R² per epoch.

    Args:
        rows: of `TrainingLog`: `epoch`, `loss`, and `r2_<modality>` for each modality.
        modalities: names.
    """
    epochs = [row["epoch"] for row in rows]
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [row["loss"] for row in rows], color="0.2", marker=".")
    left.set(xlabel="epoch", ylabel="training loss", title="Loss", ylim=(0, None))
    for modality in modalities:
        right.plot(epochs, [row[f"r2_{modality}"] for row in rows], marker=".", label=modality)
    right.axhline(0, color="0.6", linewidth=1)
    right.set(
        xlabel="epoch",
        ylabel="validation R² (0 = mean image, 1 = perfect)",
        title="R² on validation participants",
        ylim=(None, 1),
    )
    right.legend()
    return figure


def reconstruction_picture(
    image: np.ndarray,
    reconstruction: np.ndarray,
    mean_image: np.ndarray,
    brain_mask: np.ndarray,
    modalities: Sequence[str],
    title: str,
) -> Figure:
    """Three planes of original, reconstruction and their difference; a block of three rows per modality.

    The last two columns show what is individual: original minus mean image, reconstruction minus mean image.

    Args:
        image: `(M, D, H, W)` in RAS orientation, own units.
        reconstruction: the same.
        mean_image: the same.
        brain_mask: `(D, H, W)`; differences are shown inside it, where alone anything is reconstructed.
        modalities: M names.
        title: over the picture.
    """
    columns = ("original", "reconstruction", "difference", "original - mean", "reconstruction - mean")
    planes = [(axis, size // 2) for axis, size in enumerate(image.shape[1:])]
    n_rows = len(modalities) * len(planes)
    figure = Figure(figsize=(2.1 * len(columns), 1.75 * n_rows + 0.6), layout="constrained")
    axes = figure.subplots(n_rows, len(columns), squeeze=False)
    for channel, modality in enumerate(modalities):
        original, drawn, mean = image[channel], reconstruction[channel], mean_image[channel]
        low, high = np.percentile(original, [0.5, 99.5])
        spread = max(float(np.percentile(np.abs(original - mean), 99)), 1e-12)
        differences = [np.where(brain_mask > 0, part, 0) for part in (original - drawn, original - mean, drawn - mean)]
        shown = [original, drawn, *differences]
        for number, (axis, index) in enumerate(planes):
            row = axes[channel * len(planes) + number]
            for column, (panel, volume) in enumerate(zip(row, shown, strict=True)):
                limits = {"vmin": low, "vmax": high, "cmap": "gray"}
                if column >= 2:
                    limits = {"vmin": -spread, "vmax": spread, "cmap": "RdBu_r"}
                panel.imshow(np.take(volume, index, axis=axis).T, origin="lower", **limits)
                panel.set(xticks=[], yticks=[])
            if number == 0:
                row[0].set_ylabel(modality, fontsize=13)
    for panel, name in zip(axes[0], columns, strict=True):
        panel.set_title(name, fontsize=10)
    figure.suptitle(title)
    return figure
