import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import adjusted_rand_score

from bundle.analysis.discriminant import Discriminant, cluster, refine


def test_assignment_is_that_of_linear_discriminant_analysis_in_a_large_cohort():
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 3000, p=[0.7, 0.2, 0.1])
    points = rng.standard_normal((3000, 4)) @ rng.standard_normal((4, 4)) + 2 * rng.standard_normal((3, 4))[labels]
    theirs = LinearDiscriminantAnalysis().fit(points, labels).predict(points)
    assert np.mean(Discriminant.fit(points, labels).assign(points) == theirs) > 0.995


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_groups_of_any_size_come_back(share):
    rng = np.random.default_rng(1)
    truth = (np.arange(300) < 300 * share).astype(int)
    points = rng.standard_normal((300, 10)) + np.outer(7 * truth, np.eye(10)[0])
    assert adjusted_rand_score(truth, cluster(points, 2, seed=0)) > 0.95


def test_refining_ends_where_nobody_moves():
    rng = np.random.default_rng(2)
    points = rng.standard_normal((200, 3)) + 5 * np.eye(3)[np.arange(200) % 3]
    found = refine(points, np.arange(200) % 3)
    assert np.array_equal(Discriminant.fit(points, found).assign(points), found)


def test_clusters_of_fewer_than_three_are_none():
    rng = np.random.default_rng(3)
    assert cluster(rng.standard_normal((5, 2)), 2, seed=0) is None
    assert refine(rng.standard_normal((50, 2)), (np.arange(50) < 2).astype(int)) is None


def test_neighbours_have_no_third_cluster_between_them():
    centres = np.array([[0.0, 0], [4, 0], [8, 0], [0, 4]])
    model = Discriminant(centres, np.eye(2), np.full(4, 0.25))
    assert model.neighbours() == [(0, 1), (0, 3), (1, 2), (1, 3)] or (0, 2) not in model.neighbours()
    assert {(0, 1), (1, 2), (0, 3)} <= set(model.neighbours())
