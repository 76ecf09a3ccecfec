"""How many clusters: the most that stay when families are left out and have gaps between all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from scipy.stats import norm
from sklearn.cluster import DBSCAN
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from bundle.analysis.affinity_clusters import affinity_labels, preference_of
from bundle.analysis.choice_settings import ChoiceSettings
from bundle.analysis.discriminant import Discriminant, cluster
from bundle.analysis.gap_test import Gap, together
from bundle.analysis.held_out_gaps import CrossFit, cross_fit

LEAST_PEOPLE, LEAST_FAMILIES = 10, 5
"""A cluster of fewer is a few odd people, or a family or two, in a small cohort."""
BEYOND_DOUBT = 0.001
"""p of gaps that need no look at finer clusterings, and that tell clusters apart of which some hang together."""
JOINED_ABOVE = 0.05
"""p of a gap at whose two sides clusters are joined, where some clusters have none."""
FAR_AWAY = 3.0
"""Times the median distance to the nearest people that make a cluster: farther apart, and two people are not linked."""
FINER_DEPTH = 0.3
"""Of a gap between finer clusters: where all are less deep, a gap between coarse ones is the bend of a curved continuum."""


@dataclass(frozen=True)
class Candidate:
    """A number of clusters.

    Attributes:
        labels: `(N,)` 0 .. K-1, of those who have a part in the choice.
        stability: `(n_folds,)` Jaccard index of the cluster that comes back worst without each fold of families.
        pairs: neighbouring clusters, see `Discriminant.neighbours`; empty unless this number was looked at for gaps.
        gaps: of each pair; None where even two groups of that size and distance would show none.
        fits: of the folds.
    """

    labels: np.ndarray
    stability: np.ndarray
    pairs: list[tuple[int, int]] = field(default_factory=list)
    gaps: list[Gap | None] = field(default_factory=list)
    fits: CrossFit | None = None

    @property
    def n_clusters(self) -> int:
        """K."""
        return int(self.labels.max()) + 1

    def closed(self, least_depth: float, significance: float = 1.0) -> list[tuple[int, int]]:
        """Neighbouring clusters without a gap of that depth, or with one that is less than significant."""
        both = zip(self.pairs, self.gaps, strict=True)
        return [
            pair for pair, one in both if one is None or one.depth < least_depth or norm.sf(one.z_value) > significance
        ]

    def parts(self, least_depth: float, significance: float = 1.0) -> np.ndarray:
        """Which clusters hang together, from neighbour to neighbour without such a gap: `(K,)` numbers from 0."""
        closed = np.zeros((self.n_clusters, self.n_clusters))
        for pair in self.closed(least_depth, significance):
            closed[pair] = 1
        return connected_components(closed, directed=False)[1]

    @property
    def hangs_together(self) -> bool:
        """Whether one can go from every cluster to every other one without crossing a gap."""
        return self.parts(FINER_DEPTH).max() == 0

    @property
    def all_gaps(self) -> Gap | None:
        """The weakest gaps by which every cluster could be reached, as one; None if there is nothing to see at one of the pairs.

        Not all: the two ends of a bent continuum may face each other across a wide gap, which says nothing about the way
        from one to the other along the bend.
        """
        known = [one for one in self.gaps if one is not None]
        if not known or len(known) < len(self.gaps):
            return None
        z_values = np.array([one.z_value for one in known])
        ways = np.zeros((self.n_clusters, self.n_clusters))
        for pair, z_value in zip(self.pairs, z_values, strict=True):
            ways[pair] = 1 + z_value - z_values.min()  # a tree takes no notice of zeros
        weakest = minimum_spanning_tree(ways).toarray() > 0
        return together([one for pair, one in zip(self.pairs, known, strict=True) if weakest[pair]])


@dataclass(frozen=True)
class Choice:
    """What was considered and what was taken.

    Attributes:
        candidates: every number of clusters that was considered.
        chosen: the largest stable number that has gaps, or the largest stable one; None if none is stable.
        outlying: `(N,)` who was set aside first, see `outlying_people`.
        closes: whether there were gaps, but a finer clustering has none: they were bends.
        settings: of the choice.
    """

    candidates: list[Candidate]
    chosen: Candidate | None
    outlying: np.ndarray
    closes: bool
    settings: ChoiceSettings

    @property
    def stability(self) -> float:
        """Mean stability of what was chosen, 0 without."""
        return float(self.chosen.stability.mean()) if self.chosen else 0.0

    @property
    def evidence(self) -> float:
        """z value of `Candidate.all_gaps`, what the null is about; minus infinity if nothing was chosen or can be said."""
        gaps = self.chosen.all_gaps if self.chosen else None
        return float(gaps.z_value) if gaps else -np.inf

    @property
    def gap_p_value(self) -> float:
        """Of all gaps together against the flattest of all continua; 1 without."""
        return float(norm.sf(self.evidence))

    @property
    def without_gap(self) -> list[tuple[int, int]]:
        """Neighbouring clusters of the choice without a gap that is half as deep as asked for and beyond chance."""
        if self.chosen is None:
            return []
        return self.chosen.closed(self.settings.least_depth / 2, self.settings.gap_significance)

    @property
    def has_gaps(self) -> bool:
        """Whether every two neighbouring clusters have a gap that does not close, and all together are beyond chance."""
        return self.chosen is not None and not self.closes and _are_apart(self.chosen, self.settings)


def choose(points: np.ndarray, families: Sequence[object], settings: ChoiceSettings, seed: int) -> Choice:
    """Choose a clustering by its stability when families are left out and by its gaps.

    The largest stable number with gaps is taken. A continuum is cut stably into a few pieces, too, and if it is curved, people
    are few on the straight line between two of them; but the finer the pieces, the plainer it is that nothing lies between
    neighbours but borders. So gaps count only if those finer clusterings have some as well.

    Args:
        points: `(N, D)`, centred.
        families: N labels; a fold takes whole families.
        settings: see there.
        seed: of folds and starts.
    """
    family_of = pd.factorize(np.asarray(families))[0]
    if settings.preference is not None:
        return _by_affinity(points, family_of, settings, seed)
    with threadpool_limits(1):  # matrices are small: threads would wait for each other
        return _by_stability(points, family_of, settings, seed)


def _by_stability(points: np.ndarray, family_of: np.ndarray, settings: ChoiceSettings, seed: int) -> Choice:
    outlying = outlying_people(points, settings)
    kept, own = points[~outlying], pd.factorize(family_of[~outlying])[0]
    fold_of = family_folds(own, settings.n_folds, seed)
    candidates: list[Candidate] = []
    for number in range(2, settings.max_strata + 1):
        clusterer = partial(cluster, n_clusters=number, seed=seed)
        labels = clusterer(kept)
        if labels is None or not _are_large_enough(labels, own, len(points), settings):
            continue
        fits = cross_fit(kept, labels, fold_of, clusterer, settings.least_stability)
        candidates.append(Candidate(labels, fits.stability, fits=fits))
    stable = [place for place, one in enumerate(candidates) if one.stability.mean() >= settings.least_stability]
    if not stable:
        return Choice(candidates, None, outlying, False, settings)
    beyond: Candidate | None = None
    closes = False
    for place in reversed(stable):
        chosen = candidates[place] = with_gaps(kept, candidates[place])
        joined = chosen if _are_apart(chosen, settings) else _joined(chosen, settings.least_depth / 2)
        if joined is not None and _are_apart(joined, settings, BEYOND_DOUBT):
            if joined is not chosen:
                candidates.append(joined)
            return Choice(candidates, joined, outlying, False, settings)
        if not _are_apart(chosen, settings):
            closes |= chosen.hangs_together
            continue
        if beyond is None:
            beyond = _looked_at(kept, candidates[stable[-1]].n_clusters + 1, fold_of, seed)
            closes |= beyond is not None and beyond.hangs_together
        if not closes:
            return Choice(candidates, chosen, outlying, False, settings)
    largest = candidates[stable[-1]]
    return Choice(candidates, largest, outlying, _are_apart(largest, settings), settings)


def _are_apart(candidate: Candidate | None, settings: ChoiceSettings, significance: float | None = None) -> bool:
    """Whether all neighbours have gaps, deep enough together and beyond chance."""
    gaps = candidate.all_gaps if candidate else None
    if candidate is None or gaps is None or candidate.closed(settings.least_depth / 2, settings.gap_significance):
        return False
    limit = settings.gap_significance if significance is None else significance
    return bool(gaps.depth >= settings.least_depth and norm.sf(gaps.z_value) <= limit)


def _joined(candidate: Candidate, least_depth: float) -> Candidate | None:
    """The clusters that hang together as one, and the gaps between those that do not; None if all hang together."""
    part_of = candidate.parts(least_depth, JOINED_ABOVE)
    labels = part_of[candidate.labels]
    if labels.max() == 0:
        return None
    across: dict[tuple[int, int], list[Gap]] = {}
    for (one, other), found in zip(candidate.pairs, candidate.gaps, strict=True):
        low, high = sorted((int(part_of[one]), int(part_of[other])))
        if low != high and found is not None:
            across.setdefault((low, high), []).append(found)
    return Candidate(labels, candidate.stability, list(across), [together(gaps) for gaps in across.values()])


def with_gaps(points: np.ndarray, candidate: Candidate) -> Candidate:
    """The same with its pairs and their gaps."""
    assert candidate.fits is not None
    pairs = Discriminant.fit(points, candidate.labels).neighbours()
    return Candidate(candidate.labels, candidate.stability, pairs, candidate.fits.gaps(pairs), candidate.fits)


def family_folds(family_of: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """The fold 0 .. F-1 of each person, whole families at random: `(N,)`."""
    n_families = int(family_of.max()) + 1
    folds = np.arange(n_families) % min(n_folds, n_families)
    return np.random.default_rng([seed, 1]).permutation(folds)[family_of]


def outlying_people(points: np.ndarray, settings: ChoiceSettings) -> np.ndarray:
    """People in a handful too small for a cluster and far from everybody else: `(N,)` truth values.

    People who are not far apart are linked, and so are those they are linked to (single linkage): a small group is
    sparse, but large enough. While a handful is there every clustering is about it; artefacts are such people.
    """
    least = int(max(LEAST_PEOPLE, np.ceil(settings.min_stratum_share * len(points))))
    usual = np.median(NearestNeighbors(n_neighbors=least - 1).fit(points).kneighbors()[0][:, -1])
    linked = DBSCAN(eps=FAR_AWAY * usual, min_samples=1).fit_predict(points)
    return (np.bincount(linked) < least)[linked]


def _is_large_enough(families: np.ndarray, n_people: int, settings: ChoiceSettings) -> bool:
    """Whether people of these families make a cluster."""
    least = max(LEAST_PEOPLE, settings.min_stratum_share * n_people)
    return len(families) >= least and len(set(families)) >= LEAST_FAMILIES


def _are_large_enough(labels: np.ndarray, family_of: np.ndarray, n_people: int, settings: ChoiceSettings) -> bool:
    return all(_is_large_enough(family_of[labels == label], n_people, settings) for label in range(labels.max() + 1))


def _looked_at(points: np.ndarray, n_clusters: int, fold_of: np.ndarray, seed: int) -> Candidate | None:
    """So many clusters with their gaps, stable or not; None if there are no such clusters."""
    clusterer = partial(cluster, n_clusters=n_clusters, seed=seed)
    labels = clusterer(points)
    if labels is None:
        return None
    fits = cross_fit(points, labels, fold_of, clusterer)
    return with_gaps(points, Candidate(labels, fits.stability, fits=fits)) if fits.folds else None


def _by_affinity(points: np.ndarray, family_of: np.ndarray, settings: ChoiceSettings, seed: int) -> Choice:
    """The clusters of affinity propagation at one preference, whatever they are worth."""
    nobody = np.zeros(len(points), dtype=bool)
    preference = preference_of(points, settings)

    def clusterer(some: np.ndarray) -> np.ndarray | None:
        return affinity_labels(some, preference * len(some) / len(points), settings)

    labels = clusterer(points)
    if labels is None or labels.max() == 0:
        return Choice([], None, nobody, False, settings)
    fits = cross_fit(points, labels, family_folds(family_of, settings.n_folds, seed), clusterer)
    chosen = with_gaps(points, Candidate(labels, fits.stability, fits=fits)) if fits.folds else None
    chosen = chosen or Candidate(labels, fits.stability)
    return Choice([chosen], chosen, nobody, False, settings)
