import numpy as np
import pytest
from scipy.stats import kruskal, rankdata

from bundle.analysis import group_tests as module
from bundle.analysis.group_tests import (
    epsilon_squared_intervals,
    exchangeable_families,
    family_draws,
    group_means,
    group_tests,
    holm,
    permuted_labels,
    share_fixed,
    weighted_epsilon_squared,
)


def cohort(seed, n_families=150, n_scores=4, shared=0.0):
    """Labels and scores that relatives share, and nothing else does."""
    rng = np.random.default_rng(seed)
    family = np.repeat(np.arange(n_families), rng.integers(1, 4, n_families))
    wish = np.sqrt(shared) * rng.standard_normal(n_families)[family] + np.sqrt(1 - shared) * rng.standard_normal(
        len(family)
    )
    labels = np.digitize(wish, np.quantile(wish, [0.33, 0.67]))
    common = rng.standard_normal((n_families, n_scores))[family]
    scores = np.sqrt(shared) * common + np.sqrt(1 - shared) * rng.standard_normal((len(family), n_scores))
    return scores, labels, family


def test_h_and_chi_square_p_are_those_of_scipy_with_and_without_ties():
    scores, labels, family = cohort(0)
    scores[:, 1] = np.round(scores[:, 1])
    found = group_tests(scores, labels, exchangeable_families(family), 99, 0)
    for number in range(scores.shape[1]):
        theirs = kruskal(*(scores[labels == group, number] for group in range(3)))
        assert found.h[number] == pytest.approx(theirs.statistic, rel=1e-4)
        assert found.p_chi2[number] == pytest.approx(theirs.pvalue, rel=1e-3)


def test_dunn_is_the_difference_of_mean_ranks_over_its_standard_error():
    scores, labels, family = cohort(1)
    found = group_tests(scores, labels, exchangeable_families(family), 9, 0)
    ranks, n = rankdata(scores[:, 2]), len(labels)
    for (one, other), z in zip(found.pairs, found.z[2], strict=True):
        sizes = (labels == one).sum(), (labels == other).sum()
        error = np.sqrt(n * (n + 1) / 12 * (1 / sizes[0] + 1 / sizes[1]))
        assert z == pytest.approx((ranks[labels == one].mean() - ranks[labels == other].mean()) / error, rel=1e-4)


def test_planted_differences_are_found_and_others_are_not():
    scores, labels, family = cohort(2, n_scores=6)
    scores[:, :2] += 0.8 * labels[:, None]
    found = group_tests(scores, labels, exchangeable_families(family), 999, 0)
    assert (found.q_values[:2] <= 0.01).all() and (found.p_max_t[:2] <= 0.01).all()
    assert (found.q_values[2:] > 0.05).all()
    assert (found.p_holm[0] <= 0.05).all() and found.z[0, 0] < 0
    assert (found.p_values >= 1 / 1000).all() and (found.p_max_t >= found.p_values - 1e-9).all()


def test_relatives_do_not_make_false_findings():
    naive, ours, runs = 0, 0, 150
    for seed in range(runs):
        scores, labels, family = cohort(seed, n_families=120, n_scores=1, shared=0.8)
        found = group_tests(scores, labels, exchangeable_families(family), 199, seed)
        naive += found.p_chi2[0] <= 0.05
        ours += found.p_values[0] <= 0.05
    assert naive / runs > 0.09
    assert ours / runs < 0.09  # 0.05 expected; above 0.09 in less than 2 of 100 such counts


def test_families_are_exchanged_whole_and_only_with_their_like():
    family = np.array(["a", "a", "b", "b", "c", "d", "d", "e"])
    kinds = np.array(["MZ", "MZ", "n/a", "n/a", "n/a", "n/a", "n/a", "n/a"])
    by_size = exchangeable_families(family)
    assert sorted(block.shape for block in by_size) == [(2, 1), (3, 2)] and share_fixed(by_size) == 0
    by_kind = exchangeable_families(family, kinds)
    assert sorted(block.shape for block in by_kind) == [(1, 2), (2, 1), (2, 2)] and share_fixed(by_kind) == 0.25
    labels = np.arange(8)
    for many in permuted_labels(labels, by_kind, 50, 0):
        assert (many[:, :2] == [0, 1]).all()
        assert (np.sort(many[:, [2, 3]], axis=1)[:, 0] % 2 == many[:, 2] % 2).all()
        pairs = {tuple(row) for row in many[:, [2, 3]]}
        assert pairs == {(2, 3), (5, 6)}
        assert {tuple(row) for row in many[:, [4, 7]]} == {(4, 7), (7, 4)}


def test_members_take_the_place_of_their_kind():
    family = np.array(["a", "a", "a", "b", "b", "b"])
    kinds = np.array(["n/a", "MZ", "MZ", "MZ", "MZ", "n/a"])
    (block,) = exchangeable_families(family, kinds)
    assert [kinds[row] for row in block[0]] == [kinds[row] for row in block[1]]


def test_everybody_unrelated_may_be_exchanged_freely():
    (block,) = exchangeable_families(range(5))
    assert block.shape == (5, 1)
    drawn = np.concatenate(list(permuted_labels(np.array([0, 0, 1, 1, 2]), [block], 200, 0)))
    assert len(np.unique(drawn, axis=0)) == 30


def test_holm_steps_down():
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([[0.6, 0.9]])).max() == 1.0


def test_weights_count_people_as_often_as_they_stand_there():
    scores, labels, _ = cohort(3)
    scores = np.round(scores[:, 0], 1)
    counts = np.random.default_rng(0).integers(0, 3, len(scores))
    repeated, of = np.repeat(scores, counts), np.repeat(labels, counts)
    h = kruskal(*(repeated[of == group] for group in range(3))).statistic
    ours = weighted_epsilon_squared(scores, labels, counts[None].astype(float))[0]
    assert ours == pytest.approx(h / (len(repeated) - 1), rel=1e-6)


def test_interval_of_epsilon_squared_covers_what_a_large_cohort_has():
    def draw(seed, n):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 3, n)
        return (rng.standard_normal(n) + 0.4 * labels)[:, None], labels

    scores, labels = draw(0, 200_000)
    truth = weighted_epsilon_squared(scores[:, 0], labels, np.ones((1, len(labels))))[0]
    covered = 0
    for seed in range(100):
        scores, labels = draw(seed + 1, 300)
        low, high = epsilon_squared_intervals(scores, labels, np.arange(300), 300, seed)
        covered += low[0] <= truth <= high[0]
    assert 87 <= covered <= 100


def test_families_are_drawn_whole():
    family_of, counts = family_draws(["a", "b", "a", "c"], 50, 0)
    assert family_of.tolist() == [0, 1, 0, 2] and (counts.sum(axis=1) == 3).all() and len(np.unique(counts)) > 2


def test_many_people_are_worked_on_in_parts(monkeypatch):
    scores, labels, family = cohort(6)
    whole = epsilon_squared_intervals(scores, labels, family, 50, 0)
    tests = group_tests(scores, labels, exchangeable_families(family), 40, 0)
    monkeypatch.setattr(module, "VALUES_AT_ONCE", 20_000)
    parts = epsilon_squared_intervals(scores, labels, family, 50, 0)
    assert np.allclose(whole, parts)
    assert group_tests(scores, labels, exchangeable_families(family), 40, 0).h == pytest.approx(tests.h)


def test_group_means_lie_inside_their_intervals():
    scores, labels, family = cohort(4)
    means, low, high = group_means(scores, labels, family, 300, 0)
    assert means.shape == (3, 4) and (low < means).all() and (means < high).all()
    assert means[1, 2] == pytest.approx(scores[labels == 1, 2].mean())


def test_least_detectable_effect_is_found_in_four_of_five_cohorts():
    scores, labels, family = cohort(5, n_scores=5)
    least = group_tests(scores, labels, exchangeable_families(family), 499, 0).least_detectable
    assert 0.01 < least < 0.2
    found, shown = 0, []
    for seed in range(100):
        scores, labels, family = cohort(seed + 10, n_scores=5)
        shift = np.sqrt(least / (1 - least)) * (labels - labels.mean()) / labels.std()
        scores[:, 0] += shift
        tests = group_tests(scores, labels, exchangeable_families(family), 199, seed)
        found += tests.p_max_t[0] <= 0.05
        shown.append(tests.epsilon_squared[0])
    assert 65 <= found <= 95


def test_bad_groups_and_scores_are_refused():
    scores, labels, family = cohort(0)
    with pytest.raises(ValueError, match="two or more groups"):
        group_tests(scores, np.zeros_like(labels), exchangeable_families(family), 9, 0)
    with pytest.raises(ValueError, match="two or more groups"):
        group_tests(scores, np.where(labels == 1, 3, labels), exchangeable_families(family), 9, 0)
    scores[0, 0] = np.nan
    with pytest.raises(ValueError, match="finite"):
        group_tests(scores, labels, exchangeable_families(family), 9, 0)
