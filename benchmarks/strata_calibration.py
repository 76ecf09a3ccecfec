"""How often are strata found where there are none, and where there are some?

    python benchmarks/strata_calibration.py --cohorts 200 --cohorts_with_strata 40

Draws cohorts of 150 people in families of one to four (relatives correlate 0.4) and runs the default procedure on
codes of 400 values: covariates taken out, reduction, choice, null test, gaps. Codes are nine latent axes, whose variances
fall as in codes of the synthetic cohort, plus noise, plus effects of age, sex and site. What the latent axes are:

- `Gaussian`: one Gaussian cloud; `heavy tails`: one multivariate t of 5 degrees of freedom;
- `skewed`: the first axis is a gamma of shape 2; `flat`: the first two are uniform; `bent`: the second follows the square
  of the first, which is uniform;
- `strata d`: four groups of families whose centres lie d standard deviations apart, in three axes.

Gaps are looked at first, since they are quick, then the null: with 39 references, p <= 0.05 means that at most one of
them is as clear as the data. A cohort's references stop at the second such one, when the answer is known. With
`--null_only` gaps are not asked for: the rate of the null test alone. Prints a Markdown table with Clopper-Pearson intervals.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from scipy.stats import binomtest

from bundle.analysis.cluster_choice import ChoiceSettings, choose
from bundle.analysis.code_space import CodeSpace
from bundle.analysis.covariates import CovariateModel
from bundle.analysis.strata_null import NullTest, null_test
from bundle.analysis.strata_quality import gap_p_value, gaps, without_gap

N_PEOPLE, N_VALUES, N_REFERENCES, SIGNIFICANCE = 150, 400, 39, 0.05
VARIANCES = np.array([160, 130, 90, 55, 50, 35, 25, 20, 18]) / 18
FAMILY_SIZES, FAMILY_SHARES = [1, 2, 3, 4], [0.25, 0.35, 0.25, 0.15]


@dataclass(frozen=True)
class Case:
    """What the latent axes are, and the reference they are tested against."""

    name: str
    shape: str = "gaussian"
    reference: str = "gaussian"
    separation: float = 0.0


CASES = (
    Case("Gaussian"),
    Case("heavy tails", shape="heavy"),
    Case("heavy tails, t reference", shape="heavy", reference="t"),
    Case("skewed", shape="skewed"),
    Case("flat", shape="flat"),
    Case("bent", shape="bent"),
    Case("strata 4", separation=4),
    Case("strata 5", separation=5),
    Case("strata 6", separation=6),
)


def latent_axes(case: Case, families: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`(N, 9)`: relatives correlate 0.4 in all that is Gaussian."""
    shared = rng.standard_normal((N_PEOPLE, len(VARIANCES)))[families]
    axes = np.sqrt(0.4) * shared + np.sqrt(0.6) * rng.standard_normal((N_PEOPLE, len(VARIANCES)))
    flat = np.sqrt(12) * (rng.random((N_PEOPLE, 2)) - 0.5)  # of unit variance
    if case.shape == "skewed":
        axes[:, 0] = (rng.gamma(2, size=N_PEOPLE) - 2) / np.sqrt(2)
    if case.shape in ("flat", "bent"):
        axes[:, :2] = flat
    if case.shape == "bent":
        axes[:, 1] = flat[:, 0] ** 2 - 1 + 0.3 * axes[:, 2]
    if case.separation:
        simplex = np.eye(4) - 0.25
        corners = simplex @ np.linalg.svd(simplex)[2][:3].T * case.separation / np.sqrt(2)
        axes[:, :3] += corners[families % 4]
        # the other axes keep their size against those of the strata: the first three of equal size
        return axes * np.sqrt(np.append([VARIANCES[:3].mean()] * 3, VARIANCES[3:]) / VARIANCES[:3].mean())
    axes *= np.sqrt(VARIANCES)
    if case.shape == "heavy":
        axes *= np.sqrt(3 / rng.chisquare(5, size=(N_PEOPLE, 1)))
    return axes


def cohort(case: Case, rng: np.random.Generator) -> tuple[np.ndarray, list[int], pd.DataFrame]:
    """Codes `(150, 400)`, families, covariates."""
    sizes = rng.choice(FAMILY_SIZES, size=N_PEOPLE, p=FAMILY_SHARES)
    families = np.repeat(np.arange(N_PEOPLE), sizes)[:N_PEOPLE]
    table = pd.DataFrame(
        {
            "age_years": rng.uniform(22, 37, N_PEOPLE),
            "sex": rng.choice(["F", "M"], N_PEOPLE),
            "site": rng.choice(["A", "B"], N_PEOPLE),
        }
    )
    effects = np.column_stack([(table["age_years"] - 29) / 4, table["sex"] == "M", table["site"] == "B"]).astype(float)
    codes = latent_axes(case, families, rng) @ rng.standard_normal((len(VARIANCES), N_VALUES))
    codes += 2 * effects @ rng.standard_normal((3, N_VALUES)) + rng.standard_normal((N_PEOPLE, N_VALUES))
    return codes, families.tolist(), table


def finds_strata(case: Case, seed: int, null_only: bool) -> tuple[bool, int]:
    """Whether strata are found, and the number of clusters then; the steps of `find_strata`, stopped when decided."""
    torch.set_num_threads(1)
    codes, families, table = cohort(case, np.random.default_rng([seed, 7]))
    model = CovariateModel.fit(codes, table)
    adjusted = model.adjust(codes, table)
    points = CodeSpace.fit(adjusted, standardise=False, reduce=True, seed=seed).transform(adjusted)
    settings = ChoiceSettings()
    choice = choose(points, families, settings, seed)
    if choice.chosen is None:
        return False, 1
    between = gaps(points, choice.chosen.scanned.clustering.labels)
    if not null_only and (gap_p_value(between) > SIGNIFICANCE or without_gap(between)):
        return False, choice.chosen.n_clusters
    allowed = int(SIGNIFICANCE * (N_REFERENCES + 1)) - 1

    def is_decided(so_far: NullTest) -> bool:
        return bool((so_far.references >= so_far.observed).sum() > allowed)

    design = model.design(table)
    test = null_test(choice, points, families, settings, case.reference, N_REFERENCES, seed, 1, design, is_decided)
    return not is_decided(test), choice.chosen.n_clusters


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=200)
    parser.add_argument("--cohorts_with_strata", type=int, default=40)
    parser.add_argument("--num_workers", type=int, default=2)
    parser.add_argument("--null_only", action="store_true")
    parser.add_argument("--cases", nargs="*", default=[case.name for case in CASES])
    arguments = parser.parse_args()
    print("| cohorts | strata found | share (95 % interval) | four of them | seconds |")
    print("| --- | --- | --- | --- | --- |")
    for case in CASES:
        if case.name not in arguments.cases:
            continue
        started = time.perf_counter()
        count = arguments.cohorts_with_strata if case.separation else arguments.cohorts
        results = Parallel(n_jobs=arguments.num_workers)(
            delayed(finds_strata)(case, seed, arguments.null_only) for seed in range(count)
        )
        found = sum(is_found for is_found, _ in results)
        interval = binomtest(found, count).proportion_ci()
        four = sum(is_found and n_clusters == 4 for is_found, n_clusters in results)
        print(
            f"| {case.name} | {found} of {count} | {found / count:.3f} "
            f"({interval.low:.3f} to {interval.high:.3f}) | {four} | {time.perf_counter() - started:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
