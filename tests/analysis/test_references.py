import numpy as np
import pytest

from bundle.analysis.references import UnimodalReference, shared_covariance

COVARIANCE = np.array([[4.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]])


def relatives(rng, n_families=800, size=3, shared=0.6):
    root = np.linalg.cholesky(COVARIANCE)
    families = np.repeat(np.arange(n_families), size)
    between = rng.standard_normal((n_families, 3))[families]
    own = rng.standard_normal((len(families), 3))
    return (np.sqrt(shared) * between + np.sqrt(1 - shared) * own) @ root.T + 5, families


@pytest.mark.parametrize("kind", ["gaussian", "t"])
def test_reference_keeps_mean_covariance_and_resemblance_of_relatives(kind):
    points, families = relatives(np.random.default_rng(0))
    drawn = UnimodalReference(points, families, kind).draw(np.random.default_rng(1))
    assert np.allclose(drawn.mean(axis=0), 0)
    assert np.allclose(np.cov(drawn.T), np.cov(points.T))
    assert np.allclose(shared_covariance(drawn - drawn.mean(axis=0), families), 0.6 * COVARIANCE, atol=0.35)


def test_unrelated_people_share_nothing():
    points = np.random.default_rng(0).standard_normal((50, 3))
    assert not shared_covariance(points, np.arange(50)).any()


def test_degrees_of_freedom_follow_the_tails():
    rng = np.random.default_rng(0)
    gaussian = rng.standard_normal((4000, 5))
    heavy = gaussian * np.sqrt(6 / rng.chisquare(8, size=(4000, 1)))
    assert UnimodalReference(gaussian, np.arange(4000), "t").degrees_of_freedom > 30
    assert 5.5 < UnimodalReference(heavy, np.arange(4000), "t").degrees_of_freedom < 12


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="gaussian"):
        UnimodalReference(np.zeros((3, 2)), [1, 2, 3], "uniform")


def test_more_dimensions_than_people_keep_the_spectrum_of_distances():
    points = np.random.default_rng(0).standard_normal((20, 50)) * np.geomspace(1, 10, 50)
    drawn = UnimodalReference(points, np.arange(20)).draw(np.random.default_rng(1))
    assert drawn.shape == (20, 19)
    centred = points - points.mean(axis=0)
    assert np.allclose(np.linalg.svd(drawn)[1], np.linalg.svd(centred)[1][:19])


def test_what_covariates_explain_is_taken_out_of_references():
    rng = np.random.default_rng(0)
    design = rng.standard_normal((60, 2))
    drawn = UnimodalReference(rng.standard_normal((60, 4)), np.arange(60), design=design).draw(rng)
    assert np.allclose(design.T @ drawn, 0, atol=1e-9) and np.allclose(drawn.sum(axis=0), 0)
