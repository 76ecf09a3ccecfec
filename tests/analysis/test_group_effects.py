import numpy as np
import pytest
from scipy.stats import kruskal

from bundle.analysis.group_effects import epsilon_squared_intervals, group_means, weighted_epsilon_squared
from tests.analysis.related_cohort import related_cohort


def test_weights_count_people_as_often_as_they_stand_there():
    scores, labels, _ = related_cohort(3)
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


def test_many_people_are_worked_on_in_parts(monkeypatch):
    scores, labels, family = related_cohort(6)
    whole = epsilon_squared_intervals(scores, labels, family, 50, 0)
    monkeypatch.setattr("bundle.analysis.group_effects.VALUES_AT_ONCE", 20_000)
    assert np.allclose(whole, epsilon_squared_intervals(scores, labels, family, 50, 0))


def test_group_means_lie_inside_their_intervals():
    scores, labels, family = related_cohort(4)
    means, low, high = group_means(scores, labels, family, 300, 0)
    assert means.shape == (3, 4) and (low < means).all() and (means < high).all()
    assert means[1, 2] == pytest.approx(scores[labels == 1, 2].mean())
