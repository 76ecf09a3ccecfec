"""How many clusters: scan the preference, keep what stays when half of the families are left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import pdist
from sklearn.metrics import adjusted_rand_score, silhouette_score

from bundle.analysis.affinity_propagation import Clustering, affinity_propagation, preference_range
from bundle.data.problems import InputProblems

GPU_FROM = 3000
SCAN, MEDIAN = "scan", "median"
SCAN_BEYOND = 2
"""A choice ends after so many neighbouring preferences with more than the largest number of strata."""


@dataclass(frozen=True)
class ChoiceSettings:
    """How a number of clusters is chosen; no phenotype has a part in it.

    Args:
        preference: `scan` chooses by stability; `median` (of the similarities: scikit-learn's default) or a number
            takes that one preference, whatever number of clusters it gives. Any preference is scaled with the number of
            people when fewer or more of them are clustered.
        n_preferences: of a scan, spaced geometrically over the computable range.
        dampings: tried in turn until affinity propagation converges.
        max_iterations: of one affinity propagation.
        max_strata: a scan considers 2 to so many clusters.
        min_stratum_share: a scan drops partitions with a smaller cluster (share of all people): outliers, not strata.
        n_subsamples: how often half of the families are clustered again.
        subsample_share: of families in a subsample; without replacement, since doubled people look like clusters.
    """

    preference: str | float = SCAN
    n_preferences: int = 32
    dampings: Sequence[float] = (0.7, 0.9, 0.95)
    max_iterations: int = 500
    max_strata: int = 10
    min_stratum_share: float = 0.05
    n_subsamples: int = 10
    subsample_share: float = 0.5

    def __post_init__(self) -> None:
        problems = []
        if isinstance(self.preference, str) and self.preference not in (SCAN, MEDIAN):
            problems.append(f"preference: expected {SCAN}, {MEDIAN} or a negative number, got {self.preference!r}")
        if not isinstance(self.preference, str) and self.preference >= 0:
            problems.append(f"preference: expected a negative number, got {self.preference}")
        dampings = self.dampings if isinstance(self.dampings, Sequence) else []
        if not dampings or not all(0.5 <= damping < 1 for damping in dampings):
            problems.append(f"dampings: expected a list of values in [0.5, 1), got {self.dampings}")
        if self.max_iterations < 1:
            problems.append(f"max_iterations: expected 1 or more, got {self.max_iterations}")
        if not 0 <= self.min_stratum_share < 0.5:
            problems.append(f"min_stratum_share: expected a share in [0, 0.5), got {self.min_stratum_share}")
        if self.max_strata < 2:
            problems.append(f"max_strata: expected 2 or more, got {self.max_strata}")
        if not 0 < self.subsample_share < 1:
            problems.append(f"subsample_share: expected a share between 0 and 1, got {self.subsample_share}")
        if self.n_subsamples < 1 or self.n_preferences < 2:
            problems.append("expected one subsample and two preferences at least")
        if problems:
            raise InputProblems("Clustering settings", [f"{problem}." for problem in problems])


@dataclass(frozen=True)
class Scanned:
    """One preference, the damping that was used and what affinity propagation found."""

    preference: float
    damping: float
    clustering: Clustering


@dataclass(frozen=True)
class Candidate:
    """A number of clusters that a run of neighbouring preferences gives.

    Attributes:
        scanned: the middle of the run.
        plateau: how many preferences are in it.
        stability: `(n_subsamples,)` adjusted Rand index between the partition and that of each subsample.
        silhouette: mean over people.
    """

    scanned: Scanned
    plateau: int
    stability: np.ndarray
    silhouette: float

    @property
    def n_clusters(self) -> int:
        """K."""
        return self.scanned.clustering.n_clusters


@dataclass(frozen=True)
class Choice:
    """All candidates, and the one taken (see `most_stable`); None if there is no candidate at all."""

    candidates: list[Candidate]
    chosen: Candidate | None

    @property
    def stability(self) -> float:
        """Mean stability of what was chosen, 0 without a candidate: what the choice is made by."""
        return float(self.chosen.stability.mean()) if self.chosen else 0.0

    @property
    def silhouette(self) -> float:
        """Of what was chosen, -1 (the least there is) without a candidate: what the null is about.

        Half of one long cloud is as stable a cluster as one of two clouds; only the gap between them tells.
        """
        return self.chosen.silhouette if self.chosen else -1.0


def choose(
    points: np.ndarray,
    families: Sequence[object],
    settings: ChoiceSettings,
    seed: int,
    scan: Iterable[Scanned] | None = None,
) -> Choice:
    """Choose a partition by its stability when families are left out.

    Args:
        points: `(N, D)`, centred.
        families: N labels; a subsample takes whole families.
        settings: see there.
        seed: of the subsamples.
        scan: from `scan_preferences`, if it is there already; what lies beyond the largest number of strata is not
            looked at.
    """
    family_of = pd.factorize(np.asarray(families))[0]
    subsamples = list(family_subsamples(family_of, settings.n_subsamples, settings.subsample_share, seed))
    considered = list(_until_beyond(scan_preferences(points, settings) if scan is None else scan, settings))
    candidates = []
    for run in _plateaus(considered, settings, len(points)):
        middle = run[len(run) // 2]
        labels = middle.clustering.labels
        stability = [_agreement(points, labels, rows, middle, settings) for rows in subsamples]
        score = float(silhouette_score(points, labels)) if 1 < len(set(labels)) < len(points) else -1.0
        candidates.append(Candidate(middle, len(run), np.array(stability), score))
    return Choice(candidates, most_stable(candidates))


def most_stable(candidates: Sequence[Candidate]) -> Candidate | None:
    """The candidate with the longest plateau among those that are as stable as the best one.

    Coarse partitions of real strata can be as stable as the strata themselves; the preference's plateau tells them
    apart. As stable means: within one standard error of the difference, over the same subsamples.
    """
    if not candidates:
        return None
    best = max(candidates, key=lambda candidate: candidate.stability.mean())

    def is_as_stable(candidate: Candidate) -> bool:
        lost = best.stability - candidate.stability
        return bool(lost.mean() <= lost.std() / np.sqrt(len(lost)))

    return max(filter(is_as_stable, candidates), key=lambda candidate: (candidate.plateau, candidate.stability.mean()))


def scan_preferences(points: np.ndarray, settings: ChoiceSettings) -> Iterator[Scanned]:
    """Cluster at each preference of the whole range, from the lowest up."""
    for preference in _preferences(points, settings):
        yield cluster_until_converged(points, preference, settings)


def _until_beyond(scan: Iterable[Scanned], settings: ChoiceSettings) -> Iterator[Scanned]:
    """Up to where two neighbouring preferences give more than the largest number of strata."""
    beyond = 0
    for found in scan:
        yield found
        beyond = beyond + 1 if found.clustering.n_clusters > settings.max_strata else 0
        if beyond == SCAN_BEYOND:
            return


def cluster_until_converged(
    points: np.ndarray, preference: float, settings: ChoiceSettings, progress: bool = False
) -> Scanned:
    """Affinity propagation with each damping in turn until one converges; the last one's result if none does."""
    for damping in settings.dampings:
        clustering = affinity_propagation(
            points, preference, damping, settings.max_iterations, device=_device(len(points)), progress=progress
        )
        if clustering.converged:
            break
    return Scanned(preference, damping, clustering)


def _device(n_points: int) -> str:
    """The GPU for large problems; launching kernels costs more than small ones take."""
    return "cuda" if n_points > GPU_FROM and torch.cuda.is_available() else "cpu"


def family_subsamples(family_of: np.ndarray, count: int, share: float, seed: int) -> Iterator[np.ndarray]:
    """Rows of random families without replacement, `count` times.

    Args:
        family_of: N integers 0 .. F-1.
        count: number of subsamples.
        share: of families.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    n_families = family_of.max() + 1
    for _ in range(count):
        kept = np.zeros(n_families, dtype=bool)
        kept[rng.permutation(n_families)[: max(2, round(share * n_families))]] = True
        yield np.flatnonzero(kept[family_of])


def cluster_subsample(points: np.ndarray, rows: np.ndarray, like: Scanned, settings: ChoiceSettings) -> Clustering:
    """Cluster some of the people at a preference that weighs an exemplar against as many fewer members."""
    preference = like.preference * len(rows) / len(points)
    return cluster_until_converged(points[rows], preference, settings).clustering


def _preferences(points: np.ndarray, settings: ChoiceSettings) -> np.ndarray:
    if settings.preference == MEDIAN:
        return np.array([median_similarity(points)])
    if settings.preference != SCAN:
        return np.array([float(settings.preference)])
    low, high = preference_range(points)
    # identical people would put the upper end at 0, where no geometric scale ends
    return -np.geomspace(-low, max(-high, -1e-4 * low), settings.n_preferences)


def median_similarity(points: np.ndarray) -> float:
    """Median of minus the squared distances of different people, from at most 2000 of them."""
    few = points[:: -(-len(points) // 2000)]
    return -float(np.median(pdist(few, "sqeuclidean")))


def _plateaus(scan: Sequence[Scanned], settings: ChoiceSettings, n_points: int) -> list[list[Scanned]]:
    """Runs of converged neighbouring preferences with one number of clusters; the longest run of each number."""
    if settings.preference != SCAN:
        return [[found] for found in scan if found.clustering.converged]
    runs: dict[int, list[Scanned]] = {}
    for n_clusters, group in groupby(scan, key=lambda found: found.clustering.n_clusters):
        run = [found for found in group if _is_eligible(found, settings, n_points)]
        if run and len(run) > len(runs.get(n_clusters, [])):
            runs[n_clusters] = run
    return list(runs.values())


def _is_eligible(found: Scanned, settings: ChoiceSettings, n_points: int) -> bool:
    clustering = found.clustering
    if not clustering.converged or not 2 <= clustering.n_clusters <= settings.max_strata:
        return False
    return bool(np.bincount(clustering.labels).min() >= settings.min_stratum_share * n_points)


def _agreement(
    points: np.ndarray, labels: np.ndarray, rows: np.ndarray, like: Scanned, settings: ChoiceSettings
) -> float:
    found = cluster_subsample(points, rows, like, settings)
    return float(adjusted_rand_score(labels[rows], found.labels)) if found.converged else 0.0
