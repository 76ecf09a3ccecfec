"""How many clusters: the most that stay when families are left out and have gaps between all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components
from scipy.stats import norm
from sklearn.cluster import DBSCAN
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from bundle.analysis.affinity_clusters import affinity_labels, preference_of
from bundle.analysis.choice_settings import ChoiceSettings
from bundle.analysis.discriminant import Discriminant
from bundle.analysis.finer_clusters import Clusterings, Pair, agreement, gaps_between, weakest_gaps, weakest_of_each
from bundle.analysis.gap_test import Gap, together
from bundle.analysis.held_out_gaps import CrossFit, cross_fit

LEAST_PEOPLE, LEAST_FAMILIES = 10, 5
"""A cluster of fewer is a few odd participants, or a family or two, in a small cohort."""
FAR_AWAY = 3.0
"""Times the median distance to the nearest participants that make a cluster: farther apart, and two participants are not linked."""
N_FINER, N_BORDERS = 3, 2
"""Gaps are also looked for among so many more clusters, and borders must stay among so many more."""
LEAST_SEEN = 3
"""Of the clusterings in which gaps are looked for: z values are averaged over so many at least, as if others had 0."""
FLAT = Gap(n_between=0, score=0.0, variance=1.0, expected=1.0)
"""What counts between two neighbours of which nothing can be seen."""
JOINED_ABOVE, BEYOND_DOUBT = 0.05, 0.001
"""p of a gap at whose two sides clusters are joined, where some have none, and at most of the gaps that are then left."""


@dataclass(frozen=True)
class Candidate:
    """A number of clusters.

    Attributes:
        labels: `(N,)` 0 .. K-1, of those who have a part in the choice.
        stability: `(n_folds,)` Jaccard index of the cluster that comes back worst without each fold of families.
        pairs: neighbouring clusters, see `Discriminant.neighbours`; empty unless this number was looked at for gaps.
        gaps: of each pair; None where even two groups of that size and distance would show none.
        border_agreement: `agreement` with one and two clusters more, the lower of the two; None if it was not looked at.
        seen: `weakest_gaps` of this clustering and of each finer one with something to see.
        fits: of the folds; None where clusters were joined, or the number was not looked at for gaps.
    """

    labels: np.ndarray
    stability: np.ndarray
    pairs: list[Pair] = field(default_factory=list)
    gaps: list[Gap | None] = field(default_factory=list)
    border_agreement: float | None = None
    seen: list[list[Gap]] = field(default_factory=list)
    fits: CrossFit | None = None

    @property
    def n_clusters(self) -> int:
        """K."""
        return int(self.labels.max()) + 1

    @property
    def z_value(self) -> float:
        """Of the gaps of a clustering together: mean over `seen`, less where few are; minus infinity without."""
        z_values = [together(gaps).z_value for gaps in self.seen]
        return sum(z_values) / max(len(z_values), LEAST_SEEN) if z_values else -np.inf

    @property
    def depth(self) -> float:
        """Mean of the gaps of a clustering, mean over `seen`; minus infinity without."""
        depths = [np.mean([gap.depth for gap in gaps]) for gaps in self.seen]
        return float(np.mean(depths)) if depths else -np.inf


@dataclass(frozen=True)
class Choice:
    """What was considered and what was taken.

    Attributes:
        candidates: every number of clusters that was considered.
        chosen: the largest stable number whose clusters are apart, or the largest stable one; None if none is stable.
        has_gaps: whether the clusters of the choice are apart.
        outlying: `(N,)` who was set aside first, see `outlying_people`.
        settings: of the choice.
    """

    candidates: list[Candidate]
    chosen: Candidate | None
    has_gaps: bool
    outlying: np.ndarray
    settings: ChoiceSettings

    @property
    def stability(self) -> float:
        """Mean stability of what was chosen, 0 without."""
        return float(self.chosen.stability.mean()) if self.chosen else 0.0

    @property
    def evidence(self) -> float:
        """`Candidate.z_value` of the choice, what the null is about; minus infinity if nothing was chosen or can be said."""
        return self.chosen.z_value if self.chosen else -np.inf

    @property
    def without_gap(self) -> list[Pair]:
        """Neighbouring clusters of the choice without a gap of the depth that all of them together must have."""
        if self.chosen is None:
            return []
        both = zip(self.chosen.pairs, self.chosen.gaps, strict=True)
        return [pair for pair, gap in both if gap is None or gap.depth < self.settings.least_depth]


def choose(points: np.ndarray, families: Sequence[object], settings: ChoiceSettings, seed: int) -> Choice:
    """Choose a clustering by its stability when families are left out, and by its borders and gaps.

    A continuum is cut stably into a few pieces, too. But its borders move when there are to be one or two pieces more, and there are
    no gaps along them. So of the stable numbers of clusters the largest is taken whose clusters are unions of finer
    clusters and have gaps between them, in this clustering and in the finer ones.

    Args:
        points: `(N, D)`, centred.
        families: N labels; a fold takes whole families.
        settings: see there.
        seed: of folds and starts.
    """
    family_of = pd.factorize(np.asarray(families))[0]
    with threadpool_limits(1):  # matrices are small: threads would wait for each other
        if settings.preference is not None:
            return _by_affinity(points, family_of, settings, seed)
        return _by_stability(points, family_of, settings, seed)


def _by_stability(points: np.ndarray, family_of: np.ndarray, settings: ChoiceSettings, seed: int) -> Choice:
    outlying = outlying_people(points, settings)
    kept, own = points[~outlying], pd.factorize(family_of[~outlying])[0]
    clusterings = Clusterings(kept, family_folds(own, settings.n_folds, seed), seed)
    candidates, stable = [], []
    for number in range(2, settings.max_strata + 1):
        labels = clusterings.labels(number)
        if labels is None or not _are_large_enough(labels, own, len(points), settings):
            continue
        fits = clusterings.fits(number, settings.least_stability)
        candidate = Candidate(labels, fits.stability)
        if fits.stability.mean() >= settings.least_stability:
            pairs, gaps = clusterings.gaps(number, fits)
            candidate = replace(candidate, pairs=pairs, gaps=gaps, fits=fits)
            candidate = _looked_at(candidate, number, clusterings, settings)
            stable.append(candidate)
        candidates.append(candidate)
    for candidate in reversed(stable):
        joined = _joined(candidate, clusterings, settings)
        if joined is not None and _are_apart(joined, settings):
            return Choice([*candidates, joined], joined, True, outlying, settings)
        if _are_apart(candidate, settings):
            return Choice(candidates, candidate, True, outlying, settings)
    return Choice(candidates, stable[-1] if stable else None, False, outlying, settings)


def _looked_at(candidate: Candidate, number: int, clusterings: Clusterings, settings: ChoiceSettings) -> Candidate:
    """With its borders among more than `number` clusters and, if they stay, the gaps along them."""
    labels = candidate.labels
    finer = [clusterings.labels(number + more) for more in range(1, N_BORDERS + 1)]
    borders = min((agreement(labels, one) for one in finer if one is not None), default=1.0)
    seen = []
    own = weakest_gaps(candidate.n_clusters, candidate.pairs, [gap or FLAT for gap in candidate.gaps])
    if borders >= settings.least_agreement and own:
        found = [gaps_between(labels, clusterings, number + more) for more in range(1, N_FINER + 1)]
        seen = [own, *(gaps for gaps in found if gaps)]
    return replace(candidate, border_agreement=borders, seen=seen)


def _are_apart(candidate: Candidate, settings: ChoiceSettings) -> bool:
    """Whether borders stay and there are gaps along them."""
    return candidate.z_value >= settings.least_z_value and candidate.depth >= settings.least_depth


def _joined(candidate: Candidate, clusterings: Clusterings, settings: ChoiceSettings) -> Candidate | None:
    """Clusters with no gap between them as one; None unless the gaps between those that are left are beyond doubt."""
    none = np.zeros((candidate.n_clusters, candidate.n_clusters))
    for pair, gap in zip(candidate.pairs, candidate.gaps, strict=True):
        none[pair] = gap is None or norm.sf(gap.z_value) > JOINED_ABOVE
    n_parts, part_of = connected_components(none, directed=False)
    if n_parts in (1, candidate.n_clusters):
        return None
    labels = part_of[candidate.labels]
    between = gaps_between(labels, clusterings, candidate.n_clusters)
    if not between or norm.sf(together(between).z_value) > BEYOND_DOUBT:
        return None
    pairs = [(int(part_of[one]), int(part_of[other])) for one, other in candidate.pairs]
    left = weakest_of_each(pairs, candidate.gaps)
    joined = replace(candidate, labels=labels, pairs=list(left), gaps=list(left.values()), fits=None)
    return _looked_at(joined, candidate.n_clusters, clusterings, settings)


def family_folds(family_of: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """The fold 0 .. F-1 of each participant, whole families at random: `(N,)`."""
    n_families = int(family_of.max()) + 1
    folds = np.arange(n_families) % min(n_folds, n_families)
    return np.random.default_rng([seed, 1]).permutation(folds)[family_of]


def outlying_people(points: np.ndarray, settings: ChoiceSettings) -> np.ndarray:
    """Participants in a handful too small for a cluster and far from all other participants: `(N,)` truth values.

    Participants who are not far apart are linked, and so are those they are linked to (single linkage): a small group is
    sparse, but large enough. While a handful is there every clustering is about it; artefacts are such participants.
    """
    least = int(max(LEAST_PEOPLE, np.ceil(settings.min_stratum_share * len(points))))
    usual = np.median(NearestNeighbors(n_neighbors=least - 1).fit(points).kneighbors()[0][:, -1])
    linked = DBSCAN(eps=FAR_AWAY * usual, min_samples=1).fit_predict(points)
    return (np.bincount(linked) < least)[linked]


def _is_large_enough(families: np.ndarray, n_people: int, settings: ChoiceSettings) -> bool:
    """Whether participants of these families make a cluster."""
    least = max(LEAST_PEOPLE, settings.min_stratum_share * n_people)
    return len(families) >= least and len(set(families)) >= LEAST_FAMILIES


def _are_large_enough(labels: np.ndarray, family_of: np.ndarray, n_people: int, settings: ChoiceSettings) -> bool:
    return all(_is_large_enough(family_of[labels == label], n_people, settings) for label in range(labels.max() + 1))


def _by_affinity(points: np.ndarray, family_of: np.ndarray, settings: ChoiceSettings, seed: int) -> Choice:
    """The clusters of affinity propagation at one preference, whatever they are worth; they have no finer ones to compare with."""
    nobody = np.zeros(len(points), dtype=bool)
    preference = preference_of(points, settings)

    def clusterer(some: np.ndarray) -> np.ndarray | None:
        return affinity_labels(some, preference * len(some) / len(points), settings)

    labels = clusterer(points)
    if labels is None or labels.max() == 0:
        return Choice([], None, False, nobody, settings)
    fits = cross_fit(points, labels, family_folds(family_of, settings.n_folds, seed), clusterer)
    pairs = Discriminant.fit(points, labels).neighbours() if fits.folds else []
    gaps = fits.gaps(pairs)
    weakest = weakest_gaps(int(labels.max()) + 1, pairs, gaps)
    chosen = Candidate(labels, fits.stability, pairs, gaps, None, [weakest] if weakest else [], fits)
    has_gaps = norm.sf(chosen.z_value) <= JOINED_ABOVE and chosen.depth >= settings.least_depth
    return Choice([chosen], chosen, bool(has_gaps), nobody, settings)
