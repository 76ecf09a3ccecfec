"""How alike embeddings of repeated scans of one participant are, against those of different participants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

from bundle.analysis.family_draws import family_draws
from bundle.analysis.held_out_figures import LEAST_FOR_INTERVAL, family_ratios

LEAST_PERSONS = 3
"""With fewer repeated participants, variance between them means nothing."""


@dataclass(frozen=True)
class Reliability:
    """Of repeated scans.

    Attributes:
        n_persons: who were scanned more than once.
        n_scans: of those participants.
        n_gallery: scans among which the nearest one is looked for.
        identified: share of scans whose nearest other scan is of the same participant, with the ends of its 95 % interval.
        chance: that share if neighbours were drawn at random.
        distance_within: median Euclidean distance between scans of one participant.
        distance_between: the same between scans of different repeated participants.
        icc: ICC(1,1) of each feature `(P,)`; NaN where it is constant.
        image_icc: the same of all features together, I2C2, with the ends of its 95 % interval.
    """

    n_persons: int
    n_scans: int
    n_gallery: int
    identified: tuple[float, float, float]
    chance: float
    distance_within: float
    distance_between: float
    icc: np.ndarray
    image_icc: tuple[float, float, float]


def repeated_rows(persons: Sequence[str] | np.ndarray) -> np.ndarray:
    """Rows of those who are there more than once."""
    _, person_of, counts = np.unique(np.asarray(persons, dtype=str), return_inverse=True, return_counts=True)
    return np.flatnonzero(counts[person_of] > 1)


def reliability_of(
    features: np.ndarray,
    persons: Sequence[str] | np.ndarray,
    families: Sequence[str] | np.ndarray,
    rows: np.ndarray | None = None,
    n_draws: int = 2000,
    seed: int = 0,
) -> Reliability | None:
    """Identification rate and intraclass correlation; None with fewer than three participants who have repeats.

    Args:
        features: `(N, P)`; distances are taken in them as they are.
        participants: N names; who has one scan only is a participant that a repeat can be mistaken for.
        families: N names, drawn with replacement for intervals (NaN with fewer than ten of them).
        rows: scans that figures are of; None: all. The nearest scan is looked for among all participants'.
        n_draws: bootstrap draws.
        seed: of the draws.

    Source: ICC(1,1) by one-way analysis of variance, Shrout and Fleiss (1979); I2C2, Shou et al. (2013), is its ratio of sums of
    squares over all features.
    """
    names, relatives = np.asarray(persons, dtype=str), np.asarray(families, dtype=str)
    chosen = np.arange(len(names)) if rows is None else rows
    repeated = chosen[repeated_rows(names[chosen])]
    if len(np.unique(names[repeated])) < LEAST_PERSONS:
        return None
    features = features.astype(float)
    nearest = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(features).kneighbors(return_distance=False)[:, 0]
    right = (names[nearest] == names)[repeated].astype(float)[:, None]
    identified = family_ratios(right, np.ones_like(right), relatives[repeated], seed)[:, 0]
    others_of_own = np.array([(names == name).sum() - 1 for name in names[repeated]])
    distances = pairwise_distances(features[repeated])
    same = names[repeated][:, None] == names[repeated]
    icc, image_icc = intraclass_correlation(features[repeated], names[repeated], relatives[repeated], n_draws, seed)
    return Reliability(
        n_persons=len(np.unique(names[repeated])),
        n_scans=len(repeated),
        n_gallery=len(names),
        identified=(float(identified[0]), float(identified[1]), float(identified[2])),
        chance=float(others_of_own.mean() / (len(names) - 1)),
        distance_within=float(np.median(distances[same & ~np.eye(len(same), dtype=bool)])),
        distance_between=float(np.median(distances[~same])),
        icc=icc,
        image_icc=image_icc,
    )


def intraclass_correlation(
    features: np.ndarray, persons: np.ndarray, families: np.ndarray, n_draws: int = 2000, seed: int = 0
) -> tuple[np.ndarray, tuple[float, float, float]]:
    """ICC(1,1) of each feature `(P,)`, and of all together with its 95 % interval over families.

    Args:
        features: `(N, P)`.
        participants: N names, each at least twice.
        families: N names; all scans of a participant are in one.
        n_draws: bootstrap draws.
        seed: of the draws.
    """
    _, first, person_of, scans = np.unique(persons, return_index=True, return_inverse=True, return_counts=True)
    features = features - features.mean(axis=0)
    sums = np.zeros((len(scans), features.shape[1]))
    np.add.at(sums, person_of, features)
    within = np.zeros_like(sums)
    np.add.at(within, person_of, np.square(features - (sums / scans[:, None])[person_of]))
    squared = np.square(sums) / scans[:, None]
    once = np.ones((1, len(scans)))
    each = _icc(once @ within, once @ squared - np.square(once @ sums) / scans.sum(), once, scans)[0]
    family_of, counts = family_draws(families[first], n_draws, seed)
    draws = np.vstack([once, counts[:, family_of]])  # all participants first, then the draws
    between = draws @ squared.sum(axis=1) - np.square(draws @ sums).sum(axis=1) / (draws @ scans)
    n_families = counts.shape[1]
    between[1:] *= n_families / max(n_families - 1, 1)  # families that are drawn twice do not differ from each other
    together = _icc((draws @ within.sum(axis=1))[:, None], between[:, None], draws, scans)[:, 0]
    ends = np.full(2, np.nan)
    if n_families >= LEAST_FOR_INTERVAL:
        ends = np.nanpercentile(together[1:], [2.5, 97.5])
    return each, (float(together[0]), float(ends[0]), float(ends[1]))


def _icc(within: np.ndarray, between: np.ndarray, weights: np.ndarray, scans: np.ndarray) -> np.ndarray:
    """From sums of squares `(B, P)`, how often each participant counts `(B, A)` and their numbers of scans `(A,)`."""
    n_persons, n_scans = weights.sum(axis=1)[:, None], (weights @ scans)[:, None]
    typical = (n_scans - (weights @ np.square(scans))[:, None] / n_scans) / (n_persons - 1)
    mean_between, mean_within = between / (n_persons - 1), within / (n_scans - n_persons)
    spread = mean_between + (typical - 1) * mean_within
    return np.divide(mean_between - mean_within, spread, out=np.full(spread.shape, np.nan), where=spread > 1e-300)
