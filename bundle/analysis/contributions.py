"""What each modality and each covariate adds to the embedding.

Descriptive: strata were made of these embeddings, so nothing here is a test.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bundle.analysis.covariates import CovariateModel


def modality_shares(
    changes: np.ndarray, points: np.ndarray, labels: np.ndarray, modalities: Sequence[str]
) -> pd.DataFrame:
    """How much of each stratum's distance from the mean participant each modality brings.

    Args:
        changes: `(N, M, D)` by how much a participant's point moves when modality m is given, rather than the mean image.
        points: `(N, D)` of the same participants.
        labels: `(N,)` strata, 0 .. K-1.
        modalities: M names.

    Returns:
        Rows `stratum` ("all participants", then 1 .. K), `modality`, `share`; shares of a stratum sum to 1. "all participants" is
        about how participants differ, whatever their stratum. A modality that draws a stratum to the mean has 0; if all do, so
        have all.
    """
    spread = changes - changes.mean(axis=0)
    parts = {"everybody": np.square(spread).sum(axis=(0, 2))}
    if labels.max() > 0:
        away = points - points.mean(axis=0)
        for label in range(labels.max() + 1):
            members = labels == label
            if members.any():
                direction = away[members].mean(axis=0)
                parts[str(label + 1)] = np.maximum(spread[members].mean(axis=0) @ direction, 0)
    return pd.DataFrame(
        [
            {"stratum": name, "modality": modality, "share": value / max(values.sum(), 1e-12)}
            for name, values in parts.items()
            for modality, value in zip(modalities, values, strict=True)
        ]
    )


def dimension_shares(changes: np.ndarray, modalities: Sequence[str]) -> pd.DataFrame:
    """How much of each dimension's variance each modality brings: rows `dimension` (1 .. D), `modality`, `share`.

    Args:
        changes: as for `modality_shares`.
        modalities: M names.
    """
    variance = changes.var(axis=0)
    shares = variance / np.maximum(variance.sum(axis=0), 1e-12)
    return pd.DataFrame(
        [
            {"dimension": dimension + 1, "modality": modality, "share": shares[number, dimension]}
            for dimension in range(shares.shape[1])
            for number, modality in enumerate(modalities)
        ]
    )


def covariate_shares(values: np.ndarray, covariates: pd.DataFrame, splines: bool = False) -> pd.DataFrame:
    """Share of the embeddings' variance that each covariate explains: `covariate`, `share` alone, `share_last` beyond all others.

    Adjusted for the number of terms, so that a covariate of no use has about 0 (it may be a little below).

    Args:
        values: embeddings `(N, E)`.
        covariates: N rows, see `CovariateModel`.
        splines: see `CovariateModel.fit`.
    """

    def explained(columns: list[str]) -> float:
        if not columns:
            return 0.0
        model = CovariateModel.fit_unchecked(values, covariates[columns], splines)
        left = model.adjust(values, covariates[columns])
        left = np.square(left - left.mean(axis=0)).sum()
        n_people, n_terms = len(values), len(model.coefficients)
        return float(1 - left / total * (n_people - 1) / max(n_people - n_terms - 1, 1))

    total = np.square(values - values.mean(axis=0)).sum()
    everything = explained(list(covariates))
    return pd.DataFrame(
        [
            {
                "covariate": name,
                "share": explained([name]),
                "share_last": everything - explained([other for other in covariates if other != name]),
            }
            for name in covariates
        ],
        columns=["covariate", "share", "share_last"],
    )
