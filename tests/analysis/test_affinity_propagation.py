from itertools import pairwise

import numpy as np
import pytest
from sklearn.cluster import AffinityPropagation

from bundle.analysis import affinity_messages as module
from bundle.analysis.affinity_propagation import affinity_propagation, sweeps_to_settle


def blobs(seed, n=150, n_groups=4, separation=5.0):
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((n, 6)) + separation * rng.standard_normal((n_groups, 6))[np.arange(n) % n_groups]
    return points - points.mean(axis=0)


def similarities(points):
    return -np.square(points[:, None] - points[None]).sum(axis=2)


@pytest.mark.parametrize("damping", [0.7, 0.9])
@pytest.mark.parametrize("seed", range(4))
def test_labels_and_exemplars_are_those_of_scikit_learn(seed, damping):
    points = blobs(seed)
    matrix = similarities(points)
    for preference in (np.median(matrix), 3 * np.median(matrix), 10 * np.median(matrix)):
        theirs = AffinityPropagation(
            damping=damping,
            preference=preference,
            affinity="precomputed",
            max_iter=500,
            convergence_iter=sweeps_to_settle(damping),
            random_state=0,
        ).fit(matrix)
        ours = affinity_propagation(points, preference, damping)
        assert ours.converged and theirs.n_iter_ < 500
        assert np.array_equal(ours.labels, theirs.labels_)
        assert np.array_equal(ours.exemplars, theirs.cluster_centers_indices_)


@pytest.mark.parametrize("damping", [0.5, 0.7, 0.95])
def test_what_large_cohorts_compute_anew_changes_nothing(monkeypatch, damping):
    points = blobs(0, n=130)
    preference = float(np.median(similarities(points)))
    whole = affinity_propagation(points, preference, damping)
    monkeypatch.setattr(module, "BLOCK_BYTES", 4 * 130 * 7)
    monkeypatch.setattr(module, "SMALL_BYTES", 0)
    monkeypatch.setattr(module, "FIRST_SLOTS", 1)
    blocked = affinity_propagation(points, preference, damping)
    assert np.array_equal(whole.labels, blocked.labels) and whole.n_iterations == blocked.n_iterations


def test_too_few_iterations_are_reported():
    assert not affinity_propagation(blobs(0), -100.0, max_iterations=5).converged
    assert affinity_propagation(blobs(0), -100.0).converged


def test_every_point_has_the_nearest_exemplar_and_exemplars_their_own():
    points = blobs(1)
    found = affinity_propagation(points, -60.0)
    nearest = np.square(points[:, None] - points[found.exemplars][None]).sum(axis=2).argmin(axis=1)
    assert np.array_equal(found.labels, nearest)
    assert np.array_equal(found.labels[found.exemplars], np.arange(found.n_clusters))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="two or more points"):
        affinity_propagation(np.zeros((1, 3)), -1.0)
    with pytest.raises(ValueError, match="damping in"):
        affinity_propagation(blobs(0), -1.0, damping=1.0)
    with pytest.raises(ValueError, match="finite"):
        affinity_propagation(np.full((5, 2), np.nan), -1.0)


def test_exemplars_that_merely_pass_by_are_not_the_answer():
    """With scikit-learn's 15 sweeps and a damping of 0.9, scans of one cloud fall to few clusters and rise again."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        points = rng.standard_normal((120, 9)) * np.sqrt([9, 7, 5, 3, 3, 2, 1, 1, 1])
        points -= points.mean(axis=0)
        matrix = similarities(points)
        low = 20 * matrix.mean()  # about a cluster or two; the largest similarity makes all participants one
        high = matrix[~np.eye(120, dtype=bool)].max()
        scan = [affinity_propagation(points, p, 0.9).n_clusters for p in -np.geomspace(-low, -high, 24)]
        assert all(after >= 0.6 * before for before, after in pairwise(scan)), scan
