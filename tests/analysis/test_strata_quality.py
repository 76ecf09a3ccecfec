import numpy as np
import pytest

from bundle.analysis.consensus import align, co_assignment, consensus_partition
from bundle.analysis.strata_quality import (
    best_jaccard,
    hubness,
    mixture_by_bic,
    other_partitions,
    pairwise_ami,
)


def blobs(seed=0, n=120, n_groups=3, separation=8.0):
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % n_groups
    return rng.standard_normal((n, 4)) + separation * rng.standard_normal((n_groups, 4))[truth], truth


def test_jaccard_is_one_for_a_stratum_that_comes_back_under_any_number():
    labels = np.array([0, 0, 0, 1, 1, 2, 2])
    assert np.allclose(best_jaccard(labels, 2 - labels, 3), 1)
    merged = np.array([0, 0, 0, 1, 1, 1, 1])
    assert np.allclose(best_jaccard(labels, merged, 3), [1, 0.5, 0.5])


def test_jaccard_of_a_stratum_that_was_left_out_is_unknown():
    assert np.isnan(best_jaccard(np.array([0, 0, 2]), np.array([0, 0, 1]), 3)[1])


def test_other_methods_agree_on_clear_groups_and_mixtures_on_one_cloud():
    points, truth = blobs()
    table = other_partitions(points, truth, 6, seed=0).set_index("method")
    assert (table["ami"] > 0.9).all() and (table["n_clusters"] == 3).all()
    assert mixture_by_bic(np.random.default_rng(0).standard_normal((200, 3)), 6, seed=0).n_components == 1


def test_hubs_appear_in_many_dimensions():
    rng = np.random.default_rng(0)
    assert hubness(rng.standard_normal((300, 3))) < 1 < hubness(rng.standard_normal((300, 500)))


def test_consensus_follows_the_majority():
    truth = np.arange(30) % 3
    other = truth.copy()
    other[:5] = (other[:5] + 1) % 3
    partitions = [truth, (truth + 1) % 3, other]
    consensus = consensus_partition(partitions, 3)
    assert pairwise_ami([truth, consensus])[0, 1] == pytest.approx(1)
    together = co_assignment(partitions)
    assert np.allclose(np.diag(together), 1) and together.min() >= 0 and np.allclose(together, together.T)


def test_alignment_undoes_rotation_mirror_scale_and_shift():
    points, _ = blobs()
    picture = points[:, :2]
    angle = 0.7
    turned = 3 * picture @ np.array([[np.cos(angle), np.sin(angle)], [np.sin(angle), -np.cos(angle)]]) + 5
    assert np.allclose(align(turned, picture), picture)
