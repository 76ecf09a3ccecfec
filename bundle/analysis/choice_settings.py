"""How a number of clusters is chosen: the settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bundle.data.problems import InputProblems

SCAN, MEDIAN = "scan", "median"


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
        min_stratum_share: a scan drops partitions with a smaller cluster (share of all people): outliers, not strata. It
            also drops those with a cluster of fewer than ten people or five families.
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
