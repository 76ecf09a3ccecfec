"""Clusterings of half the families: how stable strata are, and votes for assignment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bundle.analysis.choice_settings import ChoiceSettings
from bundle.analysis.family_draws import family_subsamples
from bundle.analysis.partition import match_to_strata
from bundle.analysis.preference_scan import Scanned, cluster_subsample
from bundle.analysis.strata_quality import best_jaccard
from bundle.data.problems import InputProblems


@dataclass(frozen=True)
class Ballots:
    """Clusterings of half the families: votes of their exemplars, and how well each stratum came back.

    Attributes:
        votes: `(V, D)` exemplars.
        strata: `(V,)` the stratum 0 .. K-1 that each stands for.
        numbers: `(V,)` which clustering each is of.
        jaccard: `(B, K)` best Jaccard index of each stratum in each clustering; NaN if there are no strata.
    """

    votes: np.ndarray
    strata: np.ndarray
    numbers: np.ndarray
    jaccard: np.ndarray


def no_ballots(middle: np.ndarray) -> Ballots:
    """When there are no strata: one vote `(1, D)` for everybody, and no stability to speak of."""
    return Ballots(middle, np.zeros(1, dtype=int), np.zeros(1, dtype=int), np.full((1, 1), np.nan))


def cast_ballots(
    points: np.ndarray,
    labels: np.ndarray,
    family_of: np.ndarray,
    few: np.ndarray,
    chosen: Scanned,
    settings: ChoiceSettings,
    count: int,
    seed: int,
) -> Ballots:
    """Cluster half of the families again and again.

    Args:
        points: `(N, D)`.
        labels: `(N,)` strata.
        family_of: N integers.
        few: rows that the choice was made on; half-samples are drawn from them.
        chosen: what the choice chose.
        settings: of the choice.
        count: of half-samples.
        seed: of their draw.

    Raises:
        InputProblems: if not one clustering converged.
    """
    n_strata = labels.max() + 1
    votes, strata, numbers, jaccard = [], [], [], []
    own_families = pd.factorize(family_of[few])[0]
    draws = family_subsamples(own_families, count, settings.subsample_share, seed)
    for number, rows in enumerate(draws):
        found = cluster_subsample(points[few], rows, chosen, settings)
        people = few[rows]
        if not found.converged:
            jaccard.append(np.zeros(n_strata))
            continue
        votes.append(points[people[found.exemplars]])
        strata.append(match_to_strata(labels[people], found.labels, found.n_clusters, n_strata))
        numbers.append(np.full(found.n_clusters, number))
        jaccard.append(best_jaccard(labels[people], found.labels, n_strata))
    if not votes:
        raise InputProblems(
            "Clustering",
            ["No clustering of half the families converged: raise max_iterations, or add dampings near 1."],
        )
    return Ballots(np.concatenate(votes), np.concatenate(strata), np.concatenate(numbers), np.stack(jaccard))
