import numpy as np
import pytest

from bundle.analysis.gap_test import gap, together


def halves(positions, cut=None):
    cut = np.median(positions) if cut is None else cut
    return gap(positions, positions > cut)


@pytest.mark.parametrize("share", [0.5, 0.25, 0.1])
def test_two_groups_have_a_gap_whatever_their_sizes(share):
    rng = np.random.default_rng(0)
    second = np.arange(2000) < share * 2000
    found = gap(rng.standard_normal(2000) + 6 * second, second)
    assert found.z_value > 5 and found.depth == pytest.approx(1, abs=0.25)


def test_a_flat_density_is_the_chance_that_the_p_value_is_about():
    z_values = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        # a cloud with a flat tail: 30 participants where a second group would be
        positions = np.concatenate([rng.standard_normal(270), rng.uniform(2.2, 6.2, 30)])
        second = np.arange(300) >= 270
        found = gap(positions, second)
        z_values.append(-9 if found is None else found.z_value)
    assert np.mean(np.array(z_values) > 1.645) < 0.09  # 5 %: exceeded by 12 of 300 cohorts in 0.2 % of all seeds


@pytest.mark.parametrize("shape", ["normal", "uniform", "gamma", "exponential"])
def test_cuts_through_one_mode_have_no_gap(shape):
    rng = np.random.default_rng(1)
    draw = {
        "normal": rng.standard_normal,
        "uniform": rng.random,
        "gamma": lambda count: rng.gamma(2, size=count),
        "exponential": rng.standard_exponential,
    }[shape]
    for cut in (0.5, 0.9):
        positions = draw(2000)
        found = halves(positions, np.quantile(positions, cut))
        assert found is None or found.z_value < 2 or found.depth < 0.2


def test_the_order_and_scale_of_the_line_do_not_matter():
    rng = np.random.default_rng(2)
    second = np.arange(200) < 60
    positions = rng.standard_normal(200) + 5 * second
    one, other = gap(positions, second), gap(7 - 3 * positions, ~second)
    assert one.z_value == pytest.approx(other.z_value, rel=1e-6) and one.n_between == other.n_between


def test_groups_that_merge_or_are_too_few_say_nothing():
    rng = np.random.default_rng(3)
    second = np.arange(200) < 100
    assert gap(rng.standard_normal(200) + 1.2 * second, second) is None
    assert gap(np.arange(10.0), np.arange(10) > 7) is None


def test_gaps_together_are_clearer_than_each():
    rng = np.random.default_rng(4)
    second = np.arange(80) < 40
    found = [gap(rng.standard_normal(80) + 5 * second, second) for _ in range(3)]
    assert together(found).z_value > max(one.z_value for one in found)
    assert together(found).n_between == sum(one.n_between for one in found)
