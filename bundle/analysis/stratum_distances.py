"""How far participants are from strata: Mahalanobis distances by models that did not see them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from bundle.analysis.code_space import CodeSpace
from bundle.analysis.combat import SiteModel
from bundle.analysis.covariates import CovariateModel
from bundle.analysis.discriminant import Discriminant
from bundle.analysis.sites import Sites


def mahalanobis(points: np.ndarray, centres: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Distances of `(N, D)` points from their centres `(N, D)`, `(N,)`."""
    difference = points - centres
    return np.sqrt(np.maximum(np.einsum("nd,de,ne->n", difference, precision, difference), 0))


def held_out_distances(
    codes: np.ndarray,
    covariates: pd.DataFrame | None,
    families: Sequence[object],
    labels: np.ndarray,
    space: CodeSpace,
    reduce: bool,
    splines: bool,
    sites: Sites | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Distances of participants from their stratum and from the space, by models that did not see their family.

    Those by the model that was fitted on them are too small: the more so the more values an embedding has.

    Args:
        codes: `(N, E)`.
        covariates: N rows, or None.
        families: N labels; five folds of whole families.
        labels: `(N,)` strata.
        space: that was fitted on all participants; folds get its number of dimensions and its scaling.
        reduce: whether it is reduced.
        splines: see `CovariateModel.fit`.
        sites: what embeddings are harmonised by first, or None.

    Returns:
        Mahalanobis distance from the own stratum's mean `(N,)`, and length outside the space `(N,)`.
    """
    distances, outside = np.zeros(len(codes)), np.zeros(len(codes))
    standardise = bool((space.scale != 1).any())
    for seen, held_out in GroupKFold(5, shuffle=True, random_state=0).split(codes, groups=families):
        own, new = codes[seen], codes[held_out]
        if sites is not None:
            harmoniser = SiteModel.fit_unchecked(own, sites.part(seen), splines, on_axes=True)
            own, new = harmoniser.apply(own, sites.part(seen)), harmoniser.apply(new, sites.part(held_out))
        if covariates is not None:
            taken_out = CovariateModel.fit_unchecked(own, covariates.iloc[seen], splines)
            own = taken_out.adjust(own, covariates.iloc[seen])
            new = taken_out.adjust(new, covariates.iloc[held_out])
        part = CodeSpace.fit(own, standardise, reduce, seed=0, rank=space.n_dimensions)
        strata, dense = np.unique(labels[seen], return_inverse=True)
        model = Discriminant.fit(part.transform(own), dense)
        # a stratum that is in no other fold is measured from the nearest one's mean
        column = np.searchsorted(strata, labels[held_out]).clip(max=len(strata) - 1)
        distances[held_out] = mahalanobis(part.transform(new), model.centres[column], model.precision)
        outside[held_out] = part.distance_outside(new)
    return distances, outside
