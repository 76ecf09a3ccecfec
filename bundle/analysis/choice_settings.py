"""How participants are clustered and how the number of clusters is chosen: the settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bundle.data.problems import InputProblems

MEDIAN = "median"


@dataclass(frozen=True)
class ChoiceSettings:
    """How participants are clustered and how the number of clusters is chosen; no phenotype has a part in it.

    Args:
        preference: None clusters by k-means and discriminant analysis and chooses the number by stability. `median` (of
            the similarities: scikit-learn's default) or a negative number clusters by affinity propagation at that
            preference, whatever number of clusters it gives; it is scaled with the number of participants when fewer of them
            are clustered.
        max_strata: the numbers 2 to this are considered.
        min_stratum_share: of participants in the smallest cluster (and ten participants of five families at least); a handful of fewer
            who lie far from all others have no part in the choice.
        n_folds: of families; each fold is left out of the clustering in turn, and shows the gaps.
        least_stability: of every cluster: mean over folds of the Jaccard index of the cluster that comes back worst.
        least_agreement: of borders: mean Jaccard index of clusters and unions of finer clusters, with one and with two clusters more.
        least_depth: of the gaps, mean over this clustering and finer ones, where 0 is a continuum and 1 as deep as between
            Gaussian groups (see `gap_test`).
        least_z_value: of the gaps, mean over the same, against the flattest of all continua (see `gap_test`).
        subsample_share: of families in the half-samples that tell how stable each stratum is.
        dampings: of affinity propagation, tried in turn until it converges.
        max_iterations: of one affinity propagation.
    """

    preference: str | float | None = None
    max_strata: int = 10
    min_stratum_share: float = 0.02
    n_folds: int = 10
    least_stability: float = 0.85
    least_agreement: float = 0.86
    least_depth: float = 0.5
    least_z_value: float = 1.0
    subsample_share: float = 0.5
    dampings: Sequence[float] = (0.7, 0.9, 0.95)
    max_iterations: int = 500

    def __post_init__(self) -> None:
        problems = []
        preference = self.preference
        is_preference = preference in (None, MEDIAN) or (not isinstance(preference, str) and preference < 0)
        if not is_preference:
            problems.append(f"preference: expected null, {MEDIAN} or a negative number, got {preference!r}")
        dampings = self.dampings if isinstance(self.dampings, Sequence) else []
        if not dampings or not all(0.5 <= damping < 1 for damping in dampings):
            problems.append(f"dampings: expected a list of values in [0.5, 1), got {self.dampings}")
        if self.max_iterations < 1:
            problems.append(f"max_iterations: expected 1 or more, got {self.max_iterations}")
        if not 0 <= self.min_stratum_share < 0.5:
            problems.append(f"min_stratum_share: expected a share in [0, 0.5), got {self.min_stratum_share}")
        if self.max_strata < 2 or self.n_folds < 2:
            problems.append("expected max_strata and n_folds of two or more")
        if isinstance(self.least_z_value, str) or not 0 <= self.least_z_value < 10:
            problems.append(
                f"least_z_value: expected a number of standard deviations in [0, 10), got {self.least_z_value!r}"
            )
        for name in ("least_stability", "least_agreement", "least_depth", "subsample_share"):
            if not 0 < getattr(self, name) < 1:
                problems.append(f"{name}: expected a value between 0 and 1, got {getattr(self, name)}")
        if problems:
            raise InputProblems("Clustering settings", [f"{problem}." for problem in problems])
