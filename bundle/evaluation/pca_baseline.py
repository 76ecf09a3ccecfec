"""What principal components of the training people's maps make of held-out people, for a network to be better than."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bundle.analysis.reconstruction import pca_errors, pca_skill


@dataclass(frozen=True)
class PcaBaseline:
    """PCA of each map on its own.

    Attributes:
        curves: `(M, K)` skill for 1 .. K components; a map that has fewer of them than others gains nothing beyond its last.
        squared_errors: `(N, M)` sums over the brain voxels of what the best number of components leaves.
    """

    curves: np.ndarray
    squared_errors: np.ndarray

    def curve_table(self, modalities: Sequence[str]) -> pd.DataFrame:
        """A row per number of components, a column per modality."""
        table = pd.DataFrame(self.curves.T, columns=list(modalities))
        table.insert(0, "components", np.arange(1, len(table) + 1))
        return table


def pca_baseline(training: np.ndarray, held_out: np.ndarray) -> PcaBaseline:
    """Fit on training people, apply to held-out people.

    Args:
        training: `(N', M, V)` residuals, see `bundle.analysis.reconstruction`.
        held_out: `(N, M, V)`.
    """
    per_map = [pca_skill(training[:, m], held_out[:, m]) for m in range(held_out.shape[1])]
    longest = max(len(curve) for curve in per_map)
    errors = [pca_errors(training[:, m], held_out[:, m], int(curve.argmax()) + 1) for m, curve in enumerate(per_map)]
    curves = np.stack([np.pad(curve, (0, longest - len(curve)), mode="edge") for curve in per_map])
    return PcaBaseline(curves, np.stack(errors, axis=1))


def pca_verdict(summary: pd.DataFrame) -> str:
    """In words, for which modalities the network is better than the best PCA, and for which it is not."""
    groups = {
        "better": summary["above_pca_low"] > 0,
        "no different beyond chance": (summary["above_pca_low"] <= 0) & (summary["above_pca_high"] >= 0),
        "worse": summary["above_pca_high"] < 0,
    }
    parts = [f"{word} for {', '.join(summary.loc[rows, 'modality'])}" for word, rows in groups.items() if rows.any()]
    return f"Against PCA the network is {'; '.join(parts)} (95 % intervals, families resampled)."
