import numpy as np
import pytest
from scipy.stats import kruskal, rankdata

from bundle.analysis.exchange import exchangeable_families
from bundle.analysis.group_tests import group_tests, holm
from tests.analysis.related_cohort import related_cohort


def test_h_and_chi_square_p_are_those_of_scipy_with_and_without_ties():
    scores, labels, family = related_cohort(0)
    scores[:, 1] = np.round(scores[:, 1])
    found = group_tests(scores, labels, exchangeable_families(family), 99, 0)
    for number in range(scores.shape[1]):
        theirs = kruskal(*(scores[labels == group, number] for group in range(3)))
        assert found.h[number] == pytest.approx(theirs.statistic, rel=1e-4)
        assert found.p_chi2[number] == pytest.approx(theirs.pvalue, rel=1e-3)


def test_dunn_is_the_difference_of_mean_ranks_over_its_standard_error():
    scores, labels, family = related_cohort(1)
    found = group_tests(scores, labels, exchangeable_families(family), 9, 0)
    ranks, n = rankdata(scores[:, 2]), len(labels)
    for (one, other), z in zip(found.pairs, found.z[2], strict=True):
        sizes = (labels == one).sum(), (labels == other).sum()
        error = np.sqrt(n * (n + 1) / 12 * (1 / sizes[0] + 1 / sizes[1]))
        assert z == pytest.approx((ranks[labels == one].mean() - ranks[labels == other].mean()) / error, rel=1e-4)


def test_planted_differences_are_found_and_others_are_not():
    scores, labels, family = related_cohort(2, n_scores=6)
    scores[:, :2] += 0.8 * labels[:, None]
    found = group_tests(scores, labels, exchangeable_families(family), 999, 0)
    assert (found.q_values[:2] <= 0.01).all() and (found.p_max_t[:2] <= 0.01).all()
    assert (found.q_values[2:] > 0.05).all()
    assert (found.p_holm[0] <= 0.05).all() and found.z[0, 0] < 0
    assert (found.p_values >= 1 / 1000).all() and (found.p_max_t >= found.p_values - 1e-9).all()


def test_relatives_do_not_make_false_findings():
    naive, ours, runs = 0, 0, 150
    for seed in range(runs):
        scores, labels, family = related_cohort(seed, n_families=120, n_scores=1, shared=0.8)
        found = group_tests(scores, labels, exchangeable_families(family), 199, seed)
        naive += found.p_chi2[0] <= 0.05
        ours += found.p_values[0] <= 0.05
    assert naive / runs > 0.09
    assert ours / runs < 0.09  # 0.05 expected; above 0.09 in less than 2 of 100 such counts


def test_holm_steps_down():
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([[0.6, 0.9]])).max() == 1.0


def test_least_detectable_effect_is_found_in_four_of_five_cohorts():
    scores, labels, family = related_cohort(5, n_scores=5)
    least = group_tests(scores, labels, exchangeable_families(family), 499, 0).least_detectable
    assert 0.01 < least < 0.2
    found, shown = 0, []
    for seed in range(100):
        scores, labels, family = related_cohort(seed + 10, n_scores=5)
        shift = np.sqrt(least / (1 - least)) * (labels - labels.mean()) / labels.std()
        scores[:, 0] += shift
        tests = group_tests(scores, labels, exchangeable_families(family), 199, seed)
        found += tests.p_max_t[0] <= 0.05
        shown.append(tests.epsilon_squared[0])
    assert 65 <= found <= 95


def test_bad_groups_and_scores_are_refused():
    scores, labels, family = related_cohort(0)
    with pytest.raises(ValueError, match="two or more groups"):
        group_tests(scores, np.zeros_like(labels), exchangeable_families(family), 9, 0)
    with pytest.raises(ValueError, match="two or more groups"):
        group_tests(scores, np.where(labels == 1, 3, labels), exchangeable_families(family), 9, 0)
    scores[0, 0] = np.nan
    with pytest.raises(ValueError, match="finite"):
        group_tests(scores, labels, exchangeable_families(family), 9, 0)
