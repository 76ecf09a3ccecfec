import numpy as np
import pytest

from bundle.analysis.code_space import CodeSpace, effective_rank, parallel_analysis_rank, principal_axes


def codes_of_rank(rank, n=200, size=300, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, rank)) @ rng.standard_normal((rank, size)) + noise * rng.standard_normal((n, size))


@pytest.mark.parametrize("n, size", [(100, 300), (300, 100)])
def test_parallel_analysis_finds_the_planted_rank(n, size):
    codes = codes_of_rank(5, n, size)
    assert CodeSpace.fit(codes, standardise=False, reduce=True, seed=0).n_dimensions == 5


def test_noise_has_no_rank_but_two_dimensions_are_kept():
    codes = codes_of_rank(1, noise=1.0)[:, :50] * 0 + np.random.default_rng(1).standard_normal((200, 50))
    centred = codes - codes.mean(axis=0)
    assert parallel_analysis_rank(centred, principal_axes(centred)[0], np.random.default_rng(0)) == 0
    assert CodeSpace.fit(codes, standardise=False, reduce=True, seed=0).n_dimensions == 2


def test_axes_are_orthonormal_and_variances_those_of_the_scores():
    centred = codes_of_rank(4, 60, 90)
    centred -= centred.mean(axis=0)
    values, axes = principal_axes(centred)
    assert np.allclose(axes.T @ axes, np.eye(len(values)), atol=1e-8)
    assert np.allclose((centred @ axes).var(axis=0), values)


def test_whole_codes_keep_all_distances_and_leave_nothing_outside():
    codes = codes_of_rank(3, 30, 20)
    space = CodeSpace.fit(codes, standardise=False, reduce=False, seed=0)
    assert np.allclose(space.transform(codes), codes - codes.mean(axis=0))
    assert np.allclose(space.distance_outside(codes), 0, atol=1e-6)


def test_distance_outside_is_what_the_space_leaves_out():
    codes = codes_of_rank(2, noise=0.1)
    space = CodeSpace.fit(codes, standardise=False, reduce=True, seed=0)
    direction = np.random.default_rng(5).standard_normal(codes.shape[1])
    direction -= space.axes @ (space.axes.T @ direction)
    moved = codes[:1] + 50 * direction / np.linalg.norm(direction)
    assert np.allclose(space.transform(moved), space.transform(codes[:1]))
    assert space.distance_outside(moved)[0] > 45


def test_standardising_makes_scales_irrelevant():
    codes = codes_of_rank(3)
    scaled = codes * np.geomspace(0.01, 100, codes.shape[1])
    plain = CodeSpace.fit(codes, standardise=True, reduce=True, seed=0).transform(codes)
    other = CodeSpace.fit(scaled, standardise=True, reduce=True, seed=0).transform(scaled)
    assert np.allclose(np.abs(plain), np.abs(other))


def test_effective_rank_counts_equal_directions():
    assert effective_rank(np.array([2.0, 2.0, 2.0, 0.0])) == pytest.approx(3)
    assert effective_rank(np.array([1.0, 1e-12])) == pytest.approx(1, abs=1e-6)
