"""How often the analysis finds what is not there, and what is: simulated cohorts with known truth.

Codes of strata scenarios: nine latent axes, whose variances fall as in codes of the synthetic cohort, in 400 values,
plus noise, plus effects of age, sex and site. Groups of test scenarios are the quadrants of two latent axes. Relatives
correlate 0.4 in codes of strata scenarios; 0.6 in axes and 0.5 in scores of test scenarios that have kinship.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from bundle.analysis.choice_settings import ChoiceSettings
from bundle.analysis.cluster_choice import choose
from bundle.analysis.code_space import CodeSpace
from bundle.analysis.covariates import CovariateModel
from bundle.analysis.exchange import exchangeable_families
from bundle.analysis.group_tests import group_tests
from bundle.analysis.strata_null import NullTest, null_test
from bundle.analysis.strata_quality import are_apart, gaps

SIGNIFICANCE = 0.05
N_CODED, N_VALUES, N_REFERENCES = 150, 400, 39
VARIANCES = np.array([160, 130, 90, 55, 50, 35, 25, 20, 18]) / 18
N_TESTED, N_FACTORS, N_SEX_FACTORS = 300, 13, 4
FAMILY_SIZES, FAMILY_SHARES = [1, 2, 3, 4], [0.25, 0.35, 0.25, 0.15]


@dataclass(frozen=True)
class Scenario:
    """A kind of cohort.

    Args:
        name: for people.
        cohort: seed -> what was found, by name of the way of looking.
        is_effect: whether there is something to be found.
    """

    name: str
    cohort: Callable[[int], dict[str, bool]]
    is_effect: bool = False


def strata_found(
    seed: int, shape: str = "gaussian", separation: float = 0.0, null_alone: bool = False
) -> dict[str, bool]:
    """Whether strata are found in codes: by clustering alone, and by the whole procedure.

    The steps of `find_strata`. With 39 references, p <= 0.05 means that at most one of them is as clear as the data;
    references stop at the second such one, when the answer is known.

    Args:
        seed: of the cohort.
        shape: of the latent axes: `gaussian`; `heavy` (one multivariate t of 5 degrees of freedom); `skewed` (the first is
            a gamma of shape 2); `flat` (the first two are uniform); `bent` (the second follows the square of the first).
        separation: of four groups of families in three axes, in standard deviations; 0 for none.
        null_alone: do not ask for gaps: whether the null is passed, which takes much longer.
    """
    rng = np.random.default_rng([seed, 7])
    families = _families(rng, N_CODED)
    table = pd.DataFrame(
        {
            "age_years": rng.uniform(22, 37, N_CODED),
            "sex": rng.choice(["F", "M"], N_CODED),
            "site": rng.choice(["A", "B"], N_CODED),
        }
    )
    effects = np.column_stack([(table["age_years"] - 29) / 4, table["sex"] == "M", table["site"] == "B"]).astype(float)
    codes = _latent_axes(shape, separation, families, rng) @ rng.standard_normal((len(VARIANCES), N_VALUES))
    codes += 2 * effects @ rng.standard_normal((3, N_VALUES)) + rng.standard_normal((N_CODED, N_VALUES))
    model = CovariateModel.fit(codes, table)
    adjusted = model.adjust(codes, table)
    points = CodeSpace.fit(adjusted, standardise=False, reduce=True, seed=seed).transform(adjusted)
    settings = ChoiceSettings()
    choice = choose(points, families.tolist(), settings, seed)
    way = "clustering with null" if null_alone else "clustering with null and gaps"
    if choice.chosen is None:
        return {"clustering alone": False, way: False}
    between = gaps(points, choice.chosen.scanned.clustering.labels)
    allowed = int(SIGNIFICANCE * (N_REFERENCES + 1)) - 1

    def is_decided(so_far: NullTest) -> bool:
        return bool((so_far.references >= so_far.observed).sum() > allowed)

    is_clear = False
    if null_alone or are_apart(
        between, SIGNIFICANCE
    ):  # the null takes most of the time and cannot change the answer without gaps
        test = null_test(
            choice,
            points,
            families.tolist(),
            settings,
            "gaussian",
            N_REFERENCES,
            seed,
            1,
            model.design(table),
            is_decided,
        )
        is_clear = not is_decided(test)
    return {"clustering alone": True, way: is_clear}


def _latent_axes(shape: str, separation: float, families: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    axes = _related(rng, families, len(VARIANCES), 0.4)
    flat = np.sqrt(12) * (rng.random((N_CODED, 2)) - 0.5)  # of unit variance
    if shape == "skewed":
        axes[:, 0] = (rng.gamma(2, size=N_CODED) - 2) / np.sqrt(2)
    if shape in ("flat", "bent"):
        axes[:, :2] = flat
    if shape == "bent":
        axes[:, 1] = flat[:, 0] ** 2 - 1 + 0.3 * axes[:, 2]
    if separation:
        simplex = np.eye(4) - 0.25
        corners = simplex @ np.linalg.svd(simplex)[2][:3].T * separation / np.sqrt(2)
        axes[:, :3] += corners[families % 4]
        # the other axes keep their size against those of the strata: the first three of equal size
        return axes * np.sqrt(np.append([VARIANCES[:3].mean()] * 3, VARIANCES[3:]) / VARIANCES[:3].mean())
    axes *= np.sqrt(VARIANCES)
    if shape == "heavy":
        axes *= np.sqrt(3 / rng.chisquare(5, size=(N_CODED, 1)))
    return axes


def factors_found(
    seed: int,
    kinship: bool = False,
    sex: bool = False,
    heavy: bool = False,
    effect: float = 0.0,
    n_permutations: int = 499,
) -> dict[str, bool]:
    """Whether any of 13 scores is found to differ between four groups, by tests that protect and by such that do not.

    Args:
        seed: of the cohort.
        kinship: relatives resemble each other in what groups them (0.6) and in the scores (0.5), without any link.
        sex: moves an axis of the groups (by 2.5) and four scores (by 0.6); nothing else links them.
        heavy: scores have a t distribution of 2 degrees of freedom.
        effect: share of the first score's variance that the groups explain; the answer is then about that score.
        n_permutations: of families.
    """
    rng = np.random.default_rng([seed, 11])
    families = _families(rng, N_TESTED) if kinship else np.arange(N_TESTED)
    axes = _related(rng, families, 2, 0.6 if kinship else 0.0)
    scores = _related(rng, families, N_FACTORS, 0.5 if kinship else 0.0)
    is_male = rng.random(N_TESTED) < 0.5
    if heavy:
        scores *= np.sqrt(2 / rng.chisquare(2, size=scores.shape))
    if sex:
        axes[:, 0] += 2.5 * (is_male - 0.5)
        scores[:, :N_SEX_FACTORS] += 0.6 * is_male[:, None]
    groups = _quadrants(axes)
    if effect:
        step = rng.permutation([-1.5, -0.5, 0.5, 1.5])[groups]
        scores[:, 0] = np.sqrt(1 - effect) * scores[:, 0] + np.sqrt(effect) * (step - step.mean()) / step.std()
    blocks = exchangeable_families(families)
    found = group_tests(scores, groups, blocks, n_permutations, seed)
    own = slice(0, 1) if effect else slice(None)
    answers = {
        "chi-square, Benjamini-Hochberg": bool((false_discovery_control(found.p_chi2)[own] <= SIGNIFICANCE).any()),
        "families exchanged, Benjamini-Hochberg": bool((found.q_values[own] <= SIGNIFICANCE).any()),
        "families exchanged, max-T": bool((found.p_max_t[own] <= SIGNIFICANCE).any()),
    }
    if sex:
        table = pd.DataFrame({"sex": np.where(is_male, "M", "F")})
        groups = _quadrants(CovariateModel.fit(axes, table).adjust(axes, table))
        adjusted = CovariateModel.fit(scores, table).adjust(scores, table)
        found = group_tests(adjusted, groups, blocks, n_permutations, seed)
        answers["code and phenotype adjusted"] = bool((found.q_values <= SIGNIFICANCE).any())
    return answers


def _quadrants(axes: np.ndarray) -> np.ndarray:
    above = axes > np.median(axes, axis=0)
    return above[:, 0] * 2 + above[:, 1]


def _families(rng: np.random.Generator, n_people: int) -> np.ndarray:
    sizes = rng.choice(FAMILY_SIZES, size=n_people, p=FAMILY_SHARES)
    return np.repeat(np.arange(n_people), sizes)[:n_people]


def _related(rng: np.random.Generator, families: np.ndarray, count: int, correlation: float) -> np.ndarray:
    """`(N, count)` standard normal values that relatives share by a correlation."""
    shared = rng.standard_normal((families.max() + 1, count))[families]
    own = rng.standard_normal((len(families), count))
    return np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
