"""How often the analysis finds what is not there, and what is: simulated cohorts with known truth.

Embeddings of strata scenarios: the axes of `simulated_cohorts` in 100 values, plus noise, plus effects of age, sex and site.
Groups of test scenarios are the quadrants of two latent axes; relatives correlate 0.6 in axes and 0.5 in scores of those
that have kinship.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from bundle.analysis.references import UnimodalReference
from bundle.analysis.simulated_cohorts import continuum, grouped, related, simulated_families
from bundle.analysis.strata_null import NullTest, null_test

SIGNIFICANCE = 0.05
N_VALUES, NOISE, N_REFERENCES = 100, 0.1, 39
N_TESTED, N_FACTORS, N_SEX_FACTORS = 300, 13, 4


@dataclass(frozen=True)
class Scenario:
    """A kind of cohort.

    Args:
        name: for participants.
        cohort: seed -> what was found, by name of the way of looking.
        is_effect: whether there is something to be found.
    """

    name: str
    cohort: Callable[[int], dict[str, bool]]
    is_effect: bool = False


def strata_found(
    seed: int,
    shape: str = "gaussian",
    shares: Sequence[float] = (),
    separation: float = 0.0,
    n_people: int = 300,
    n_axes: int = 17,
    spreads: Sequence[float] | None = None,
    with_null: bool = True,
) -> dict[str, bool]:
    """Whether strata are found: by clustering alone, and by the whole procedure.

    The steps of `find_strata` from covariates on. With 39 references, p <= 0.05 means that at most one of them is as clear as
    the data; references stop at the second such one, when the answer is known, and are not made if there are no gaps, for
    both are needed.

    Args:
        seed: of the cohort.
        shape: of a cohort without strata, see `continuum`; not looked at if there are shares.
        shares: of the groups of a cohort with strata, see `grouped`; empty for none.
        separation: of the groups, in standard deviations.
        n_people: of the cohort.
        n_axes: that embeddings are made of.
        spreads: of the groups.
        with_null: False asks for gaps alone, which takes a fraction of the time and finds more, if anything.
    """
    rng = np.random.default_rng([seed, 7])
    if len(shares):
        cohort = grouped(shares, separation, n_people, n_axes, rng, spreads)
    else:
        cohort = continuum(shape, n_people, n_axes, rng)
    table = pd.DataFrame(
        {
            "age_years": rng.uniform(22, 37, n_people),
            "sex": rng.choice(["F", "M"], n_people),
            "site": rng.choice(["A", "B"], n_people),
        }
    )
    effects = np.column_stack([(table["age_years"] - 29) / 4, table["sex"] == "M", table["site"] == "B"]).astype(float)
    axes = np.linalg.qr(rng.standard_normal((N_VALUES, n_axes)))[0].T
    codes = cohort.points @ axes + 2 * effects @ rng.standard_normal((3, N_VALUES)) / np.sqrt(N_VALUES)
    codes += NOISE * rng.standard_normal(codes.shape)
    model = CovariateModel.fit(codes, table)
    adjusted = model.adjust(codes, table)
    points = CodeSpace.fit(adjusted, standardise=False, reduce=True, seed=seed).transform(adjusted)
    families = cohort.families.tolist()
    choice = choose(points, families, ChoiceSettings(), seed)
    answers = {"clustering alone": choice.chosen is not None}
    if not with_null:
        return answers | {"gaps": choice.has_gaps}
    allowed = int(SIGNIFICANCE * (N_REFERENCES + 1)) - 1

    def is_decided(so_far: NullTest) -> bool:
        return bool((so_far.references >= so_far.observed).sum() > allowed)

    is_clear = choice.has_gaps
    if is_clear:
        reference = UnimodalReference(points, families, "gaussian", model.design(table))
        is_clear = not is_decided(null_test(choice, reference, families, N_REFERENCES, seed, 1, is_decided))
    return answers | {"gaps with null": is_clear}


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
    families = simulated_families(rng, N_TESTED) if kinship else np.arange(N_TESTED)
    axes = related(rng, families, 2, 0.6 if kinship else 0.0)
    scores = related(rng, families, N_FACTORS, 0.5 if kinship else 0.0)
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
        answers["embedding and phenotype adjusted"] = bool((found.q_values <= SIGNIFICANCE).any())
    return answers


def _quadrants(axes: np.ndarray) -> np.ndarray:
    above = axes > np.median(axes, axis=0)
    return above[:, 0] * 2 + above[:, 1]
