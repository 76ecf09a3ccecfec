"""How many clusters: scan the preference, keep what stays when half of the families are left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score, silhouette_score

from bundle.analysis.choice_settings import SCAN, ChoiceSettings
from bundle.analysis.family_draws import family_subsamples
from bundle.analysis.preference_scan import Scanned, cluster_subsample, scan_preferences

SCAN_BEYOND = 2
"""A choice ends after so many neighbouring preferences with more than the largest number of strata."""
LEAST_PEOPLE, LEAST_FAMILIES = 10, 5
"""A cluster of fewer is a few odd people, or a family or two, in a small cohort."""


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
    for run in _plateaus(considered, settings, family_of):
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


def _until_beyond(scan: Iterable[Scanned], settings: ChoiceSettings) -> Iterator[Scanned]:
    """Up to where two neighbouring preferences give more than the largest number of strata."""
    beyond = 0
    for found in scan:
        yield found
        beyond = beyond + 1 if found.clustering.n_clusters > settings.max_strata else 0
        if beyond == SCAN_BEYOND:
            return


def _plateaus(scan: Sequence[Scanned], settings: ChoiceSettings, family_of: np.ndarray) -> list[list[Scanned]]:
    """Runs of converged neighbouring preferences with one number of clusters; the longest run of each number."""
    if settings.preference != SCAN:
        return [[found] for found in scan if found.clustering.converged]
    runs: dict[int, list[Scanned]] = {}
    for n_clusters, group in groupby(scan, key=lambda found: found.clustering.n_clusters):
        run = [found for found in group if _is_eligible(found, settings, family_of)]
        if run and len(run) > len(runs.get(n_clusters, [])):
            runs[n_clusters] = run
    return list(runs.values())


def _is_eligible(found: Scanned, settings: ChoiceSettings, family_of: np.ndarray) -> bool:
    clustering = found.clustering
    if not clustering.converged or not 2 <= clustering.n_clusters <= settings.max_strata:
        return False
    if np.bincount(clustering.labels).min() < max(LEAST_PEOPLE, settings.min_stratum_share * len(family_of)):
        return False
    people = pd.DataFrame({"cluster": clustering.labels, "family": family_of})
    return bool(people.groupby("cluster")["family"].nunique().min() >= LEAST_FAMILIES)


def _agreement(
    points: np.ndarray, labels: np.ndarray, rows: np.ndarray, like: Scanned, settings: ChoiceSettings
) -> float:
    found = cluster_subsample(points, rows, like, settings)
    return float(adjusted_rand_score(labels[rows], found.labels)) if found.converged else 0.0
