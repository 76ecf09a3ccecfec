"""What principal components of the training participants' maps make of held-out participants, for a network to be better than."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bundle.analysis.held_out_figures import LEAST_FOR_INTERVAL
from bundle.analysis.reconstruction import pca_errors, pca_r2
from bundle.data.problems import InputProblems


@dataclass(frozen=True)
class PcaBaseline:
    """PCA of each map on its own.

    Attributes:
        curves: `(M, K)` R² for 1 .. K components; a map that has fewer of them than others gains nothing beyond its last.
        squared_errors: `(N, M)` sums over the brain voxels of what the best number of components leaves.
        n_training: M numbers of training participants that it is fitted on: all who have that map.
    """

    curves: np.ndarray
    squared_errors: np.ndarray
    n_training: Sequence[int]

    def curve_table(self, modalities: Sequence[str]) -> pd.DataFrame:
        """A row per number of components, a column per modality."""
        table = pd.DataFrame(self.curves.T, columns=list(modalities))
        table.insert(0, "components", np.arange(1, len(table) + 1))
        return table


def pca_baseline(training: np.ndarray, held_out: np.ndarray, modalities: Sequence[str]) -> PcaBaseline:
    """Fit on training participants, apply to held-out participants.

    Each map is fitted on all training participants who have it, as the network is trained on all of them.

    Args:
        training: `(N', M, V)` residuals, see `bundle.analysis.reconstruction`; NaN where a participant lacks a map.
        held_out: `(N, M, V)`.
        modalities: M names.

    Raises:
        InputProblems: if fewer than two training participants have a map.
    """
    there = ~np.isnan(training[:, :, 0])
    n_training = [int(count) for count in there.sum(axis=0)]
    problems = [
        f"{name}: PCA needs at least two training participants who have it, got {count}."
        for name, count in zip(modalities, n_training, strict=True)
        if count < 2
    ]
    if problems:
        raise InputProblems("PCA baseline", problems)
    curves, errors = [], []
    for m in range(held_out.shape[1]):
        people = training[there[:, m], m]
        curves.append(pca_r2(people, held_out[:, m]))
        errors.append(pca_errors(people, held_out[:, m], int(curves[-1].argmax()) + 1))
    longest = max(len(curve) for curve in curves)
    padded = [np.pad(curve, (0, longest - len(curve)), mode="edge") for curve in curves]
    return PcaBaseline(np.stack(padded), np.stack(errors, axis=1), n_training)


def pca_verdict(summary: pd.DataFrame) -> str:
    """In words, for which modalities the network is better than the best PCA, and for which it is not.

    Args:
        summary: of an evaluation; where its families are too few for intervals there is no verdict.
    """
    if summary["above_pca_low"].isna().all():
        return f"Whether the network is better than PCA cannot be said of held-out participants of fewer than {LEAST_FOR_INTERVAL} families."
    groups = {
        "better": summary["above_pca_low"] > 0,
        "no different beyond chance": (summary["above_pca_low"] <= 0) & (summary["above_pca_high"] >= 0),
        "worse": summary["above_pca_high"] < 0,
    }
    parts = [f"{word} for {', '.join(summary.loc[rows, 'modality'])}" for word, rows in groups.items() if rows.any()]
    return f"Against PCA the network is {'; '.join(parts)} (95 % intervals, families resampled)."
