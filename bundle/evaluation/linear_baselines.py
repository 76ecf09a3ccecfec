"""What linear embeddings of the network's own size make of held-out participants, for a network to be ahead of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from bundle.analysis.held_out_figures import LEAST_FOR_INTERVAL
from custom_nets.linear_fit import (
    BlockLayout,
    LinearFitSettings,
    embed_packed,
    fit_linear_embedding,
    reconstruct_packed,
)

PCA_SHARES = (0.1, 0.25, 0.5)
"""Of the numbers of a modality that PCA takes where it is combined with a cosine basis; the best is chosen on validation participants."""
CELLS_ACROSS = 4
"""Cells along the longest side of the grid, in the joint PCA of each cell: 48 mm each at 3 mm."""

Reconstruct = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class LinearBaselines:
    """Linear embeddings as large as the network's.

    Attributes:
        best: name of the one with the highest mean R2 on validation participants.
        validation: name -> `(M,)` R2 on validation participants.
        held_out: name -> `(M,)` R2 on held-out participants.
        squared_errors: `(N, M)` sums over the brain voxels of what the best one leaves of held-out participants.
    """

    best: str
    validation: dict[str, np.ndarray]
    held_out: dict[str, np.ndarray]
    squared_errors: np.ndarray

    def table(self, modalities: Sequence[str]) -> pd.DataFrame:
        """A row per linear embedding: mean R2 on validation participants, and on held-out ones R2 of each modality."""
        rows = [
            {
                "embedding": name,
                "validation_mean": self.validation[name].mean(),
                **dict(zip(modalities, self.held_out[name], strict=True)),
                "mean": self.held_out[name].mean(),
                "chosen": name == self.best,
            }
            for name in self.held_out
        ]
        return pd.DataFrame(rows).sort_values("validation_mean", ascending=False)


def linear_baselines(
    training: np.ndarray,
    validation: np.ndarray,
    held_out: np.ndarray,
    brain_mask: np.ndarray,
    embedding_size: int,
    mirror: int,
) -> LinearBaselines:
    """Fit on training participants who have every modality, choose on validation participants, report on held-out ones.

    - `pca`: principal components of each modality, E / M numbers each, or as many as there are participants less one.
    - `cosines`: the E / M lowest frequencies of the brain's bounding box, for each modality; nothing is learnt but the mean.
    - `pca_and_cosines`: some numbers of each modality for PCA, the others for cosines.
    - `cells`: joint PCA of all modalities in each of some 48 cells, numbers given to cells by training variance.
    - `cells_shifted`: the same, fitted on training participants, their mirror images and copies shifted by one voxel.

    Args:
        training: `(N', M, V)` residuals, see `bundle.analysis.reconstruction`; NaN where a participant lacks a modality.
        validation: `(N'', M, V)`, complete.
        held_out: `(N, M, V)`, complete.
        brain_mask: `(D, H, W)` whose V voxels, in this order, the residuals are of.
        embedding_size: E.
        mirror: voxel i along the first axis mirrors voxel `mirror - i`; below 0 for none.
    """
    complete = training[~np.isnan(training[:, :, 0]).any(axis=1)]
    per_modality = embedding_size // training.shape[1]
    cosines = _cosines(brain_mask, per_modality)
    components = [_components(complete[:, m], per_modality) for m in range(complete.shape[1])]
    candidates: dict[str, Reconstruct] = {
        "pca": _projection(components),
        "cosines": _projection([cosines] * complete.shape[1]),
    }
    for share in PCA_SHARES:
        n_pca = round(share * per_modality)
        joined = [_orthonormal(np.hstack([own[:, :n_pca], cosines[:, : per_modality - n_pca]])) for own in components]
        candidates[f"pca_and_cosines_{share:g}"] = _projection(joined)
    cell = cell_size(brain_mask.shape)
    for name, plane, most_samples in (("cells", -1, 0), ("cells_shifted", mirror, 3000)):
        candidates[name] = _cells(complete, brain_mask, cell, plane, embedding_size, most_samples)
    scores: dict[str, dict[str, np.ndarray]] = {"validation": {}, "held_out": {}}
    errors = {}
    for name, reconstruct in candidates.items():
        for section, images in (("validation", validation), ("held_out", held_out)):
            left = np.square(images - reconstruct(images)).sum(axis=2, dtype=float)
            scores[section][name] = 1 - left.sum(axis=0) / np.square(images).sum(axis=(0, 2), dtype=float)
            errors[name] = left
    best = max(candidates, key=lambda name: float(scores["validation"][name].mean()))
    return LinearBaselines(best, scores["validation"], scores["held_out"], errors[best])


def linear_verdict(summary: pd.DataFrame) -> str:
    """In words, whether the network is ahead of the best linear embedding of its size, for each modality.

    Args:
        summary: of an evaluation; where its families are too few for intervals there is no verdict.
    """
    name = summary["linear_embedding"].iloc[0]
    if summary["above_linear_low"].isna().all():
        return (
            "Whether the network is ahead of the best linear embedding of its size cannot be said of held-out participants of "
            f"fewer than {LEAST_FOR_INTERVAL} families."
        )
    groups = {
        "ahead": summary["above_linear_low"] > 0,
        "not different": (summary["above_linear_low"] <= 0) & (summary["above_linear_high"] >= 0),
        "behind": summary["above_linear_high"] < 0,
    }
    parts = [
        word + " for " + ", ".join(f"{row.modality} ({row.above_linear:+.3f})" for row in summary[rows].itertuples())
        for word, rows in groups.items()
        if rows.any()
    ]
    return f"Against the best linear embedding of equal size ({name}) the network is {'; '.join(parts)} (R2, 95 % intervals, families resampled)."


def cell_size(spatial_size: Sequence[int]) -> int:
    """Largest common divisor of the sizes that puts at least `CELLS_ACROSS` cells along the longest side."""
    most = max(spatial_size) // CELLS_ACROSS
    return max(size for size in range(1, most + 1) if all(length % size == 0 for length in spatial_size))


def fit_cells(
    training: np.ndarray, brain_mask: np.ndarray, cell: int, mirror: int, embedding_size: int, most_samples: int
) -> tuple[np.ndarray, dict[str, torch.Tensor]]:
    """Joint PCA of each cell; what `fit_linear_embedding` does when covariances between blocks count for nothing.

    Args:
        training: `(N, M, V)` residuals of complete participants, in the order of the mask's voxels.
        brain_mask: `(D, H, W)`.
        cell: voxels along each side.
        mirror: see `linear_baselines`.
        embedding_size: E.
        most_samples: see `LinearFitSettings`; 0 for neither shifted nor mirrored copies.

    Returns:
        `(V,)`, the order of voxels that `embed_packed` takes, and what it takes them with.
    """
    mask = torch.from_numpy(np.ascontiguousarray(brain_mask))
    layout = BlockLayout(mask, cell, mirror)
    if most_samples == 0:
        layout.sources = layout.sources[:1]
    number = torch.zeros(mask.numel(), dtype=torch.long)
    number[mask.flatten() > 0] = torch.arange(training.shape[2])
    order = number[layout.voxels].numpy()
    settings = LinearFitSettings(embedding_size, most_per_block=300, reach=1.0, most_samples=max(most_samples, 1))
    return order, fit_linear_embedding(torch.from_numpy(training[:, :, order]), layout, embedding_size, settings)


def _cells(
    training: np.ndarray, brain_mask: np.ndarray, cell: int, mirror: int, embedding_size: int, most_samples: int
) -> Reconstruct:
    order, fitted = fit_cells(training, brain_mask, cell, mirror, embedding_size, most_samples)

    def reconstruct(images: np.ndarray) -> np.ndarray:
        embeddings = embed_packed(fitted, torch.from_numpy(images[:, :, order]))
        packed = reconstruct_packed(fitted, embeddings, images.shape[1]).numpy()
        found = np.empty_like(images)
        found[:, :, order] = packed
        return found

    return reconstruct


def _components(training: np.ndarray, count: int) -> np.ndarray:
    """`(V, k)` leading principal axes about the mean image, which residuals have at 0; by the Gram matrix."""
    values, vectors = np.linalg.eigh(training.astype(np.float64) @ training.T.astype(np.float64))
    kept = np.argsort(values)[::-1][: min(count, len(training) - 1)]
    kept = kept[values[kept] > 1e-10 * values.max()]
    return (training.T @ (vectors[:, kept] / np.sqrt(values[kept]))).astype(np.float32)


def _cosines(brain_mask: np.ndarray, count: int) -> np.ndarray:
    """`(V, count)` orthonormal cosines of the brain's bounding box, lowest frequencies first."""
    inside = np.argwhere(brain_mask > 0)
    low, size = inside.min(axis=0), np.ptp(inside, axis=0) + 1
    places = (inside - low + 0.5) / size
    waves = np.stack(np.meshgrid(*[np.arange(min(n, 40)) for n in size], indexing="ij"), axis=-1).reshape(-1, 3)
    lowest = waves[np.argsort(((waves / size) ** 2).sum(axis=1), kind="stable")[:count]]
    tables = [np.cos(np.pi * np.arange(lowest[:, axis].max() + 1) * places[:, axis, None]) for axis in range(3)]
    values = tables[0][:, lowest[:, 0]] * tables[1][:, lowest[:, 1]] * tables[2][:, lowest[:, 2]]
    return _orthonormal(values.astype(np.float32))


def _orthonormal(columns: np.ndarray) -> np.ndarray:
    return np.linalg.qr(columns)[0]


def _projection(bases: Sequence[np.ndarray]) -> Reconstruct:
    """Each modality by its own orthonormal basis `(V, k)`."""
    return lambda images: np.stack([images[:, m] @ basis @ basis.T for m, basis in enumerate(bases)], axis=1)
