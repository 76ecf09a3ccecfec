"""Would strata have been found, had they been there? Simulated groups in cohorts of the same size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from bundle.analysis.choice_settings import ChoiceSettings
from bundle.analysis.cluster_choice import choose
from bundle.analysis.simulated_cohorts import grouped

SMALLER_SHARE, SEPARATION = 0.1, 5.0


@dataclass(frozen=True)
class Power:
    """How often two Gaussian groups are told from a continuum.

    Attributes:
        share: of participants in the smaller group.
        separation: of means, in standard deviations within groups.
        n_people: of each cohort.
        n_dimensions: of each cohort.
        n_cohorts: that were simulated.
        n_found: those in which there are gaps between the chosen clusters.
    """

    share: float
    separation: float
    n_people: int
    n_dimensions: int
    n_cohorts: int
    n_found: int

    @property
    def sentence(self) -> str:
        """In words."""
        return (
            f"Two groups, {self.share:.0%} and {1 - self.share:.0%} of {self.n_people} participants and "
            f"{self.separation:g} standard deviations apart in {self.n_dimensions} dimensions, were found in "
            f"{self.n_found} of {self.n_cohorts} simulated cohorts."
        )

    def facts(self) -> dict[str, Any]:
        """Plain values for JSON, the sentence too."""
        return asdict(self) | {"sentence": self.sentence}


def power(
    families: Sequence[object], n_dimensions: int, settings: ChoiceSettings, n_cohorts: int, seed: int, n_jobs: int = 1
) -> Power | None:
    """Simulate cohorts of the same families and dimensions, with a group of 10 % that lies 5 standard deviations apart.

    Args:
        families: N labels.
        n_dimensions: that participants were clustered in.
        settings: of the choice.
        n_cohorts: how many; None is returned for 0.
        seed: of the first.
        n_jobs: processes.
    """
    if n_cohorts == 0:
        return None
    family_of = pd.factorize(np.asarray(families))[0]
    found = Parallel(n_jobs=n_jobs)(
        delayed(_is_found)(family_of, n_dimensions, settings, [seed, number, 3]) for number in range(n_cohorts)
    )
    return Power(SMALLER_SHARE, SEPARATION, len(family_of), n_dimensions, n_cohorts, sum(found))


def _is_found(family_of: np.ndarray, n_dimensions: int, settings: ChoiceSettings, seed: Sequence[int]) -> bool:
    rng = np.random.default_rng(seed)
    shares = (1 - SMALLER_SHARE, SMALLER_SHARE)
    cohort = grouped(shares, SEPARATION, len(family_of), n_dimensions, rng, families=family_of)
    return choose(cohort.points, family_of.tolist(), settings, int(rng.integers(2**31))).has_gaps
