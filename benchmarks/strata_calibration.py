"""How often are strata found where there are none, and where there are some?

    python benchmarks/strata_calibration.py --cohorts 200 --cohorts_with_strata 40

Draws cohorts of 150 people in families of one to four in nine dimensions (relatives correlate 0.4, variances fall as
in codes of the synthetic cohort) and runs the default choice and null test on each:

- `gaussian`: one Gaussian cloud, tested against Gaussian references;
- `heavy tails`: one multivariate t cloud of 5 degrees of freedom, against Gaussian and against t references;
- `strata d`: four groups whose centres lie d standard deviations apart.

With 39 references, p <= 0.05 means that at most one of them is as clear as the data. A cohort's references stop at the
second such one, when the answer is known. Prints a Markdown table with Clopper-Pearson intervals.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
import torch
from joblib import Parallel, delayed
from scipy.stats import binomtest

from bundle.analysis.cluster_choice import ChoiceSettings, choose
from bundle.analysis.strata_null import null_test

N_PEOPLE, N_REFERENCES, SIGNIFICANCE = 150, 39, 0.05
VARIANCES = np.array([160, 130, 90, 55, 50, 35, 25, 20, 18]) / 18
FAMILY_SIZES, FAMILY_SHARES = [1, 2, 3, 4], [0.25, 0.35, 0.25, 0.15]


@dataclass(frozen=True)
class Case:
    """What cohorts are like, and the reference they are tested against."""

    name: str
    reference: str = "gaussian"
    heavy_tails: bool = False
    separation: float = 0.0


CASES = (
    Case("gaussian"),
    Case("heavy tails, Gaussian reference", heavy_tails=True),
    Case("heavy tails, t reference", reference="t", heavy_tails=True),
    Case("strata 4", separation=4),
    Case("strata 5", separation=5),
    Case("strata 6", separation=6),
)


def cohort(case: Case, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points `(N, 9)` and families."""
    sizes = rng.choice(FAMILY_SIZES, size=N_PEOPLE, p=FAMILY_SHARES)
    families = np.repeat(np.arange(N_PEOPLE), sizes)[:N_PEOPLE]
    shared = rng.standard_normal((N_PEOPLE, len(VARIANCES)))[families]
    points = np.sqrt(0.4) * shared + np.sqrt(0.6) * rng.standard_normal((N_PEOPLE, len(VARIANCES)))
    if case.separation:
        # groups of families in three dimensions of unit variance, over the others' variance
        corners = (np.eye(4) - 0.25) @ np.linalg.qr(rng.standard_normal((4, 4)))[0] * case.separation / np.sqrt(2)
        points[:, :4] += corners[families % 4]
    else:
        points *= np.sqrt(VARIANCES)
    if case.heavy_tails:
        points *= np.sqrt(3 / rng.chisquare(5, size=(N_PEOPLE, 1)))
    return points - points.mean(axis=0), families


def finds_strata(case: Case, seed: int) -> tuple[bool, int]:
    """Whether p is at most 0.05, and the number of clusters chosen."""
    torch.set_num_threads(1)
    points, families = cohort(case, np.random.default_rng([seed, 7]))
    settings = ChoiceSettings()
    choice = choose(points, families.tolist(), settings, seed)
    allowed = int(SIGNIFICANCE * (N_REFERENCES + 1)) - 1
    test = null_test(
        choice,
        points,
        families.tolist(),
        settings,
        case.reference,
        N_REFERENCES,
        seed,
        after_each=lambda so_far: bool((so_far.references >= so_far.observed).sum() > allowed),
    )
    found = bool((test.references >= test.observed).sum() <= allowed)
    return found, choice.chosen.n_clusters if found and choice.chosen else 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=200)
    parser.add_argument("--cohorts_with_strata", type=int, default=40)
    parser.add_argument("--num_workers", type=int, default=2)
    arguments = parser.parse_args()
    print("| cohorts | strata found | share (95 % interval) | four of them | seconds |")
    print("| --- | --- | --- | --- | --- |")
    for case in CASES:
        started = time.perf_counter()
        count = arguments.cohorts_with_strata if case.separation else arguments.cohorts
        results = Parallel(n_jobs=arguments.num_workers)(delayed(finds_strata)(case, seed) for seed in range(count))
        found = sum(result[0] for result in results)
        interval = binomtest(found, count).proportion_ci()
        four = sum(result[1] == 4 for result in results)
        print(
            f"| {case.name} | {found} of {count} | {found / count:.3f} "
            f"({interval.low:.3f} to {interval.high:.3f}) | {four} | {time.perf_counter() - started:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
