"""Clusterings of half the families: how stable strata are, and votes for assignment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bundle.analysis.choice_settings import ChoiceSettings
from bundle.analysis.discriminant import Discriminant, cluster
from bundle.analysis.family_draws import family_subsamples
from bundle.analysis.partition import match_to_strata
from bundle.analysis.strata_quality import best_jaccard
from bundle.data.problems import InputProblems


@dataclass(frozen=True)
class Ballots:
    """Clusterings of half the families: votes of their means, and how well each stratum came back.

    Attributes:
        votes: `(V, D)` means of clusters.
        shares: `(V,)` of participants in each of these clusters.
        strata: `(V,)` the stratum 0 .. K-1 that each stands for.
        numbers: `(V,)` which clustering each is of.
        jaccard: `(B, K)` best Jaccard index of each stratum in each clustering; NaN if there are no strata.
    """

    votes: np.ndarray
    shares: np.ndarray
    strata: np.ndarray
    numbers: np.ndarray
    jaccard: np.ndarray


def no_ballots(points: np.ndarray) -> Ballots:
    """When there are no strata: one vote for all participants, and no stability to speak of."""
    middle = points.mean(axis=0, keepdims=True)
    return Ballots(middle, np.ones(1), np.zeros(1, dtype=int), np.zeros(1, dtype=int), np.full((1, 1), np.nan))


def cast_ballots(
    points: np.ndarray,
    labels: np.ndarray,
    family_of: np.ndarray,
    settings: ChoiceSettings,
    count: int,
    seed: int,
) -> Ballots:
    """Cluster half of the families again and again, into as many clusters as there are strata.

    Args:
        points: `(N, D)` of those that the choice was made on.
        labels: `(N,)` their strata.
        family_of: N integers.
        settings: of the choice.
        count: of half-samples.
        seed: of their draw.

    Raises:
        InputProblems: if not one clustering came about.
    """
    n_strata = int(labels.max()) + 1
    votes, shares, strata, numbers, jaccard = [], [], [], [], []
    own_families = pd.factorize(family_of)[0]
    for number, rows in enumerate(family_subsamples(own_families, count, settings.subsample_share, seed)):
        found = cluster(points[rows], n_strata, seed + number)
        if found is None:
            jaccard.append(np.zeros(n_strata))
            continue
        model = Discriminant.fit(points[rows], found)
        votes.append(model.centres)
        shares.append(model.shares)
        strata.append(match_to_strata(labels[rows], found, n_strata, n_strata))
        numbers.append(np.full(n_strata, number))
        jaccard.append(best_jaccard(labels[rows], found, n_strata))
    if not votes:
        raise InputProblems(
            "Clustering",
            [
                f"No half of the families could be put into {n_strata} clusters of three participants or more: raise subsample_share."
            ],
        )
    return Ballots(
        np.concatenate(votes),
        np.concatenate(shares),
        np.concatenate(strata),
        np.concatenate(numbers),
        np.stack(jaccard),
    )
