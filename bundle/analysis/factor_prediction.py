"""How well a linear model reads the true factors from embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def factor_prediction(codes: np.ndarray, factors: np.ndarray, families: Sequence[str], n_folds: int = 5) -> np.ndarray:
    """Correlation of true factors with what ridge regression predicts for families that it has not seen, `(F,)`.

    Args:
        codes: `(N, E)`.
        factors: `(N, F)`.
        families: N names; a family is in one fold.
        n_folds: there must be as many families.
    """
    model = make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(0, 6, 13)))
    predicted = cross_val_predict(model, codes, factors, cv=GroupKFold(n_folds), groups=families)
    predicted = np.reshape(predicted, factors.shape)  # one factor comes back as a vector
    return np.array([np.corrcoef(p, t)[0, 1] for p, t in zip(predicted.T, factors.T, strict=True)])
