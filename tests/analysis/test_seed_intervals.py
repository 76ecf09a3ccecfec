import numpy as np
import pytest
from scipy import stats

from bundle.analysis.factor_prediction import factor_prediction
from bundle.analysis.seed_intervals import mean_and_interval


def test_interval_is_the_textbook_one():
    mean, low, high = mean_and_interval([0.5, 0.6, 0.7])
    assert mean == pytest.approx(0.6)
    assert high - mean == pytest.approx(4.302653 * 0.1 / np.sqrt(3), rel=1e-6)  # t of 2 degrees of freedom
    assert mean - low == pytest.approx(high - mean)


def test_interval_covers_the_mean_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(2, 3, (2000, 4))
    ends = np.array([mean_and_interval(row)[1:] for row in draws])
    covered = int(((ends[:, 0] < 2) & (ends[:, 1] > 2)).sum())
    assert stats.binomtest(covered, 2000, 0.95).pvalue > 0.01


def test_one_value_has_no_interval_and_none_has_no_mean():
    assert mean_and_interval([0.5])[0] == 0.5 and np.isnan(mean_and_interval([0.5, np.nan])[1:]).all()
    assert np.isnan(mean_and_interval([])).all()


def test_factors_are_read_from_codes_that_hold_them_and_not_from_noise():
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(200, 2))
    codes = factors[:, :1] @ rng.normal(size=(1, 20))
    families = [f"f{number // 2}" for number in range(200)]
    held, absent = factor_prediction(codes + 0.1 * rng.normal(size=codes.shape), factors, families)
    assert held > 0.95 and abs(absent) < 0.3


def test_relatives_do_not_help_each_other():
    """Embeddings that say only the family would predict its factor, if a family were in two folds."""
    rng = np.random.default_rng(0)
    families = np.repeat(np.arange(60), 3)
    factors = rng.normal(size=(60, 1))[families]
    codes = np.eye(60)[families]
    assert abs(factor_prediction(codes, factors, families.tolist())[0]) < 0.35
