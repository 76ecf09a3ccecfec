"""Are there strata at all? The whole choice, repeated on cohorts that have none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from joblib import Parallel, delayed

from bundle.analysis.choice_settings import ChoiceSettings
from bundle.analysis.cluster_choice import Choice, choose
from bundle.analysis.references import UnimodalReference


@dataclass(frozen=True)
class NullTest:
    """Evidence of gaps in the chosen partition, in the data and in each reference (see `Choice.evidence`).

    Attributes:
        observed: of the data.
        references: `(R,)`, of cohorts without strata; minus infinity where no partition was stable.
        stabilities: `(R,)`, of what was chosen in each reference; 0 where nothing was.
        n_clusters: `(R,)`, the number that the choice ended at in each reference (1: no candidate).
    """

    observed: float
    references: np.ndarray
    stabilities: np.ndarray
    n_clusters: np.ndarray

    @property
    def p_value(self) -> float:
        """(b + 1) / (R + 1) with b references at least as clear as the data (Phipson and Smyth 2010)."""
        return float((np.sum(self.references >= self.observed) + 1) / (len(self.references) + 1))


def null_test(
    observed: Choice,
    model: UnimodalReference,
    families: Sequence[object],
    n_references: int,
    seed: int,
    n_jobs: int = 1,
    after_each: Callable[[NullTest], bool] | None = None,
) -> NullTest:
    """Test a choice against references.

    Args:
        observed: `choose(points, families, ...)`; the references are chosen with the same settings.
        model: of cohorts like the points, but without strata.
        families: N labels.
        n_references: how many.
        seed: of references and their folds.
        n_jobs: processes.
        after_each: called with the test so far; True stops, for those who need only know whether p is small.
    """
    results = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(choose_on_reference)(model, families, observed.settings, [seed, number])
        for number in range(n_references)
    )
    found: list[tuple[float, float, int]] = []
    for result in results:
        found.append(result)
        test = _test(observed, found)
        if after_each is not None and after_each(test):
            break
    return _test(observed, found)


def _test(observed: Choice, found: Sequence[tuple[float, float, int]]) -> NullTest:
    evidence, stabilities, numbers = (np.array(values) for values in zip(*found, strict=True))
    return NullTest(observed.evidence, evidence, stabilities, numbers)


def choose_on_reference(
    model: UnimodalReference, families: Sequence[object], settings: ChoiceSettings, seed: Sequence[int]
) -> tuple[float, float, int]:
    """Evidence, stability and number of clusters that the choice ends at in one reference cohort."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the matrices are small, and processes run side by side
    try:
        rng = np.random.default_rng(seed)
        choice = choose(model.draw(rng), families, settings, int(rng.integers(2**31)))
    finally:
        torch.set_num_threads(threads)
    return choice.evidence, choice.stability, choice.chosen.n_clusters if choice.chosen else 1
