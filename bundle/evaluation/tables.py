"""An evaluation as tables: a row per participant and modality, and a row per modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bundle.analysis.held_out_figures import family_ratios
from bundle.analysis.reconstruction import r2, r2_per_person
from bundle.evaluation.linear_baselines import LinearBaselines
from bundle.evaluation.pca_baseline import PcaBaseline


@dataclass(frozen=True)
class HeldOut:
    """What was seen of N held-out participants.

    Attributes:
        modalities: M names.
        participant_ids: N.
        families: N labels, resampled for intervals.
        images: `(N, M, V)` residuals, see `bundle.analysis.reconstruction`.
        drawn: the same of the reconstructions.
        metrics: name -> `(N, M)`.
        nearest: `(N,)` whether the own image is the nearest one to the reconstruction.
    """

    modalities: Sequence[str]
    participant_ids: Sequence[str]
    families: Sequence[str]
    images: np.ndarray
    drawn: np.ndarray
    metrics: Mapping[str, np.ndarray]
    nearest: np.ndarray


def sums_of_squares(people: HeldOut, baseline: PcaBaseline, linear: LinearBaselines) -> dict[str, np.ndarray]:
    """Sums over the brain voxels, each `(N, M)`: what the network, PCA and the best linear embedding leave, and all there is."""
    maps = range(len(people.modalities))
    left = [np.square(people.images[:, m] - people.drawn[:, m]).sum(axis=1, dtype=float) for m in maps]
    everything = [np.square(people.images[:, m]).sum(axis=1, dtype=float) for m in maps]
    return {
        "squared_error": np.stack(left, axis=1),
        "pca_squared_error": baseline.squared_errors,
        "linear_squared_error": linear.squared_errors,
        "squared_residual": np.stack(everything, axis=1),
    }


def mean_margin(families: Sequence[str], sums: Mapping[str, np.ndarray]) -> list[float | None]:
    """Mean over modalities of R2 minus that of the best linear embedding: figure, low and high end; None if there are too few families."""
    share = (sums["linear_squared_error"] - sums["squared_error"]) / sums["squared_residual"].sum(axis=0)
    per_person = share.mean(axis=1, keepdims=True) * len(share)
    return [
        float(v) if np.isfinite(v) else None
        for v in family_ratios(per_person, np.ones_like(per_person), families)[:, 0]
    ]


def people_table(people: HeldOut, sums: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """A row per participant and modality: R², metrics, and the sums from which R² can be pooled over evaluations."""
    n_modalities = len(people.modalities)
    columns: dict[str, Any] = {
        "participant_id": np.repeat(people.participant_ids, n_modalities),
        "modality": list(people.modalities) * len(people.participant_ids),
        "r2": r2_per_person(people.images, people.drawn).ravel(),
    }
    columns |= {name: values.ravel() for name, values in people.metrics.items()}
    columns["own_image_is_nearest"] = np.repeat(people.nearest, n_modalities)
    columns |= {name: values.ravel() for name, values in sums.items()}
    return pd.DataFrame(columns)


def summary_table(
    people: HeldOut,
    sums: Mapping[str, np.ndarray],
    baseline: PcaBaseline,
    linear: LinearBaselines,
    changed: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    """A row per modality: R², that of PCA and of changed embeddings, means of the metrics, and the margins over PCA and the best linear embedding of equal size.

    Args:
        people: who was held out.
        sums: from `sums_of_squares`.
        baseline: PCA of the same participants.
        linear: linear embeddings of the network's size.
        changed: from `r2_values_of_changed_codes`.
    """
    table = pd.DataFrame({"modality": list(people.modalities), "r2": r2(people.images, people.drawn)})
    table["pca_r2"] = baseline.curves.max(axis=1)
    table["pca_components"] = baseline.curves.argmax(axis=1) + 1
    table["pca_people"] = list(baseline.n_training)
    for name, values in changed.items():
        table[f"r2_code_{name}"] = values
    for name, values in people.metrics.items():
        table[name] = values.mean(axis=0)
    table["identifiability"] = people.nearest.mean()
    gained = sums["pca_squared_error"] - sums["squared_error"]
    _, low, high = family_ratios(gained, sums["squared_residual"], people.families)
    table["above_pca_low"], table["above_pca_high"] = low, high
    table["linear_embedding"] = linear.best
    table["linear_r2"] = linear.held_out[linear.best]
    gained = sums["linear_squared_error"] - sums["squared_error"]
    margin = family_ratios(gained, sums["squared_residual"], people.families)
    table["above_linear"], table["above_linear_low"], table["above_linear_high"] = margin
    return table
