"""From one encoder's codes to strata, or to the finding that there are none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from sklearn.metrics import silhouette_samples

from bundle.analysis.cluster_choice import (
    Choice,
    ChoiceSettings,
    Scanned,
    choose,
    cluster_subsample,
    cluster_until_converged,
    family_subsamples,
    scan_preferences,
)
from bundle.analysis.code_space import CodeSpace, effective_rank, principal_axes
from bundle.analysis.covariates import CovariateModel
from bundle.analysis.strata_quality import best_jaccard, hubness, other_partitions
from bundle.analysis.strata_test import NullTest, null_test
from bundle.analysis.stratifier import by_size, match_to_strata

MIN_PEOPLE = 20
MIN_FAMILIES = 10


@dataclass(frozen=True)
class StrataSettings:
    """How strata are looked for.

    Args:
        standardise: divide each code value by its standard deviation. Off: the code's own scale says what matters.
        reduce: to the principal axes that parallel analysis keeps.
        choice: see `ChoiceSettings`.
        reference: of the null, `gaussian` or `t`.
        n_references: cohorts without strata that the choice is repeated on.
        significance: strata are reported if p is at most this.
        choice_size: the choice and its null are made on about so many people at most (whole families, at random);
            everybody is then clustered at the chosen preference.
        n_stability: half-samples of families for the stability of each stratum and for assignment's votes.
        seed: of everything random.
    """

    standardise: bool = False
    reduce: bool = True
    choice: ChoiceSettings = field(default_factory=ChoiceSettings)
    reference: str = "gaussian"
    n_references: int = 99
    significance: float = 0.05
    choice_size: int = 1000
    n_stability: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.significance < 1 or (self.n_references + 1) * self.significance < 1:
            raise ValueError(
                f"{self.n_references} references cannot give p <= {self.significance}: "
                f"set n_references to {int(np.ceil(1 / max(self.significance, 1e-9))) - 1} or more."
            )
        if self.choice_size < MIN_PEOPLE or self.n_stability < 1:
            raise ValueError(f"Expected choice_size of {MIN_PEOPLE} or more and n_stability of 1 or more.")


@dataclass(frozen=True)
class Ballots:
    """Clusterings of half the families: votes of their exemplars, and how well each stratum came back.

    Attributes:
        votes: `(V, D)` exemplars.
        strata: `(V,)` the stratum 0 .. K-1 that each stands for.
        numbers: `(V,)` which clustering each is of.
        jaccard: `(B, K)` best Jaccard index of each stratum in each clustering.
    """

    votes: np.ndarray
    strata: np.ndarray
    numbers: np.ndarray
    jaccard: np.ndarray


@dataclass(frozen=True)
class Strata:
    """What was found.

    Attributes:
        labels: `(N,)` strata 0 .. K-1, largest first; all 0 if there are none.
        exemplars: `(K,)` rows.
        candidate_labels: `(N,)` the most stable partition, also if it is no better than chance.
        candidate_exemplars: its exemplars.
        points: `(N, D)` in the space.
        outside: `(N,)` length of what the space leaves out of each code.
        space: see `CodeSpace`.
        covariates: the model that was taken out, or None.
        scan: every preference with the number of clusters it gives.
        choice: candidates with their stability.
        test: the choice against cohorts without strata.
        ballots: of the strata.
        silhouettes: `(N,)`, of the strata; NaN if there are none.
        others: what other methods make of the same people.
        hubness: of the points.
        effective_rank: of the codes.
        settings: as given.
    """

    labels: np.ndarray
    exemplars: np.ndarray
    candidate_labels: np.ndarray
    candidate_exemplars: np.ndarray
    points: np.ndarray
    outside: np.ndarray
    space: CodeSpace
    covariates: CovariateModel | None
    scan: list[Scanned]
    choice: Choice
    test: NullTest
    ballots: Ballots
    silhouettes: np.ndarray
    others: pd.DataFrame
    hubness: float
    effective_rank: float
    settings: StrataSettings

    @property
    def n_strata(self) -> int:
        """K; 1 if no discrete strata were found."""
        return len(self.exemplars)

    @property
    def headline(self) -> str:
        """The finding in one line."""
        p_value = self.test.p_value
        if self.n_strata > 1:
            return f"{self.n_strata} strata (p = {p_value:.3g})"
        if self.choice.chosen is None:
            return f"no discrete strata found (p = {p_value:.3g}; no partition was even a candidate)"
        tried = self.choice.chosen.n_clusters
        return f"no discrete strata found (p = {p_value:.3g}; the most stable partition had {tried} clusters)"


def find_strata(
    codes: np.ndarray,
    families: Sequence[object],
    covariates: pd.DataFrame | None = None,
    settings: StrataSettings | None = None,
    n_jobs: int = 1,
    report: Callable[[str, int, int], None] | None = None,
) -> Strata:
    """Look for strata, and test whether they are more stable than those of cohorts that have none.

    Args:
        codes: `(N, E)` of one encoder.
        families: N labels; relatives are left out together and resemble each other in the null.
        covariates: N rows; taken out of the codes first.
        settings: see there.
        n_jobs: processes for the null.
        report: called with a word, steps done and all steps.

    Raises:
        ValueError: for fewer than 20 people or 10 families, codes that are all alike or not finite, or covariates that cannot be used.

    Source: affinity propagation as Dimitri et al. (2022); the choice and its null are ours (docs/method.md).
    """
    settings = settings or StrataSettings()
    report = report or (lambda word, done, of: None)
    _check(codes, families)
    model = None if covariates is None or not covariates.shape[1] else CovariateModel.fit(codes, covariates)
    adjusted = codes.astype(float) if model is None else model.adjust(codes.astype(float), covariates)
    space = CodeSpace.fit(adjusted, settings.standardise, settings.reduce, settings.seed)
    points = space.transform(adjusted)
    family_of = pd.factorize(np.asarray(families))[0]
    few = rows_for_choice(family_of, settings.choice_size, settings.seed)
    report("Scanning preferences", 0, 1)
    scan = list(scan_preferences(points[few], settings.choice, whole_range=True))
    report("Scanning preferences", 1, 1)
    choice = choose(points[few], family_of[few].tolist(), settings.choice, settings.seed, scan)

    def show_reference(so_far: NullTest) -> bool:
        report("Cohorts without strata", len(so_far.references), settings.n_references)
        return False

    test = null_test(
        choice,
        points[few],
        family_of[few].tolist(),
        settings.choice,
        settings.reference,
        settings.n_references,
        settings.seed,
        n_jobs,
        show_reference,
    )
    candidate_labels, candidate_exemplars = _cluster_everybody(points, few, choice, settings, report)
    there_are_strata = choice.chosen is not None and test.p_value <= settings.significance
    if there_are_strata:
        labels, exemplars = candidate_labels, candidate_exemplars
    else:
        labels, exemplars = one_stratum(points)
    ballots = _ballots(points, labels, family_of, few, choice if there_are_strata else None, settings)
    return Strata(
        labels,
        exemplars,
        candidate_labels,
        candidate_exemplars,
        points,
        space.distance_outside(adjusted),
        space,
        model,
        scan,
        choice,
        test,
        ballots,
        silhouette_samples(points, labels) if len(exemplars) > 1 else np.full(len(points), np.nan),
        other_partitions(points[few], candidate_labels[few], settings.choice.max_strata, settings.seed),
        hubness(points[few]),
        effective_rank(principal_axes(adjusted[few] - adjusted[few].mean(axis=0))[0]),
        settings,
    )


def _check(codes: np.ndarray, families: Sequence[object]) -> None:
    if len(codes) < MIN_PEOPLE:
        raise ValueError(f"Strata need {MIN_PEOPLE} people at least, got {len(codes)}.")
    if len(set(families)) < MIN_FAMILIES:
        raise ValueError(
            f"Strata need {MIN_FAMILIES} families at least, since stability leaves families out; got {len(set(families))}."
        )
    if not np.isfinite(codes).all():
        raise ValueError(f"Codes must be finite; {int((~np.isfinite(codes)).any(axis=1).sum())} people's are not.")
    if not (codes.std(axis=0) > 1e-6 * np.abs(codes).max()).any():
        raise ValueError("All codes are alike: the encoder tells nobody apart; train it longer.")


def rows_for_choice(family_of: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Rows of everybody, or of random whole families that make up about `size` people."""
    if len(family_of) <= size:
        return np.arange(len(family_of))
    return next(family_subsamples(family_of, 1, size / len(family_of), seed))


def one_stratum(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and exemplar when there are no strata: everybody, and the person nearest to the middle."""
    middle = int(np.square(points - points.mean(axis=0)).sum(axis=1).argmin())
    return np.zeros(len(points), dtype=int), np.array([middle])


def _cluster_everybody(
    points: np.ndarray,
    few: np.ndarray,
    choice: Choice,
    settings: StrataSettings,
    report: Callable[[str, int, int], None],
) -> tuple[np.ndarray, np.ndarray]:
    if choice.chosen is None:
        return one_stratum(points)
    if len(few) == len(points):
        clustering = choice.chosen.scanned.clustering
        return by_size(clustering.labels, clustering.exemplars)
    report("Clustering everybody", 0, 1)
    preference = choice.chosen.scanned.preference * len(points) / len(few)
    clustering = cluster_until_converged(points, preference, settings.choice, progress=True).clustering
    report("Clustering everybody", 1, 1)
    if not clustering.converged:
        raise ValueError(
            f"Affinity propagation of {len(points)} people did not converge at any of the dampings "
            f"{list(settings.choice.dampings)}: raise max_iterations or add a damping nearer to 1."
        )
    return by_size(clustering.labels, clustering.exemplars)


def _ballots(
    points: np.ndarray,
    labels: np.ndarray,
    family_of: np.ndarray,
    few: np.ndarray,
    choice: Choice | None,
    settings: StrataSettings,
) -> Ballots:
    n_strata = labels.max() + 1
    if choice is None or choice.chosen is None:
        middle = points[one_stratum(points)[1]]
        return Ballots(middle, np.zeros(1, dtype=int), np.zeros(1, dtype=int), np.ones((1, 1)))
    votes, strata, numbers, jaccard = [], [], [], []
    own_families = pd.factorize(family_of[few])[0]
    # other half-samples than those of the choice
    draws = family_subsamples(own_families, settings.n_stability, settings.choice.subsample_share, settings.seed + 1)
    for number, rows in enumerate(draws):
        found = cluster_subsample(points[few], rows, choice.chosen.scanned, settings.choice)
        chosen = few[rows]
        if found.n_clusters == 0:
            jaccard.append(np.zeros(n_strata))
            continue
        votes.append(points[chosen[found.exemplars]])
        strata.append(match_to_strata(labels[chosen], found.labels, found.n_clusters, n_strata))
        numbers.append(np.full(found.n_clusters, number))
        jaccard.append(best_jaccard(labels[chosen], found.labels, n_strata))
    if not votes:
        raise ValueError("No clustering of half the families converged: raise max_iterations.")
    return Ballots(np.concatenate(votes), np.concatenate(strata), np.concatenate(numbers), np.stack(jaccard))
