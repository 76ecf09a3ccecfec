import numpy as np

from bundle.analysis.held_out_figures import LEAST_FOR_INTERVAL, family_ratios
from bundle.analysis.reconstruction import r2


def drawn(rng, n_people=80, n_voxels=30):
    residuals = rng.standard_normal((n_people, 1, n_voxels)) * rng.uniform(0.5, 2, (n_people, 1, 1))
    return residuals, residuals + 0.5 * rng.standard_normal(residuals.shape)


def sums(residuals, predicted):
    return np.square(residuals - predicted).sum(axis=2), np.square(residuals).sum(axis=2)


def test_r2_pooled_from_sums_is_the_r2_of_everybody():
    residuals, predicted = drawn(np.random.default_rng(0))
    errors, totals = sums(residuals, predicted)
    figure = family_ratios(totals - errors, totals, list(range(80)))[0]
    assert np.allclose(figure, r2(residuals, predicted))


def test_families_that_are_too_few_have_a_figure_but_no_interval():
    values = np.random.default_rng(0).standard_normal((40, 2))
    values[:4, 1] = np.nan  # two of the families lack it
    enough = family_ratios(values, np.ones_like(values), np.repeat(np.arange(LEAST_FOR_INTERVAL), 4).tolist())
    assert np.isfinite(enough[:, 0]).all()
    assert np.isfinite(enough[0, 1]) and np.isnan(enough[1:, 1]).all()
    few = family_ratios(values, np.ones_like(values), (np.arange(40) % (LEAST_FOR_INTERVAL - 1)).tolist())
    assert np.isfinite(few[0]).all() and np.isnan(few[1:]).all()


def test_interval_of_a_mean_covers_it_as_often_as_it_says():
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(100):
        values = np.repeat(rng.standard_normal(60), 2)[:, None]  # twins alike in full
        _, low, high = family_ratios(values, np.ones_like(values), np.repeat(np.arange(60), 2).tolist())
        covered += low[0] <= 0 <= high[0]
    assert covered >= 88


def test_relatives_that_count_as_strangers_make_the_interval_too_narrow():
    values = np.repeat(np.random.default_rng(3).standard_normal(60), 2)[:, None]
    widths = [
        np.diff(family_ratios(values, np.ones_like(values), families)[1:, 0])[0]
        for families in (list(range(120)), np.repeat(np.arange(60), 2).tolist())
    ]
    assert widths[1] > 1.25 * widths[0]


def test_people_without_a_figure_do_not_count_and_nobody_gives_none():
    values = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]])
    figures = family_ratios(values, np.ones_like(values), ["a", "b", "c"])
    assert figures[0, 0] == 2 and np.isnan(figures[:, 1]).all()
