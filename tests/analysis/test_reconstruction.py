import numpy as np
import pytest
from sklearn.decomposition import PCA

from bundle.analysis.reconstruction import (
    identifiability,
    pca_errors,
    pca_r2,
    r2,
    r2_per_person,
    swap_partners,
)


@pytest.fixture
def residuals():
    rng = np.random.default_rng(0)
    people = rng.standard_normal((30, 2, 200)).astype(np.float32)
    return people - people.mean(axis=0)


def test_r2_is_one_for_the_image_and_zero_for_the_mean(residuals):
    assert np.allclose(r2(residuals, residuals), 1)
    assert np.allclose(r2(residuals, 0 * residuals), 0)


def test_r2_per_person_is_the_r2_of_one_person(residuals):
    drawn = 0.5 * residuals
    assert np.allclose(r2_per_person(residuals, drawn)[3], r2(residuals[3:4], drawn[3:4]))


def test_pca_r2_is_that_of_scikit_learn(residuals):
    training, held_out = residuals[:20, 0], residuals[20:, 0]
    curve = pca_r2(training, held_out)
    assert len(curve) == 19
    for k in (1, 7, 19):
        pca = PCA(k).fit(training)
        drawn = pca.inverse_transform(pca.transform(held_out))
        expected = 1 - np.square(held_out - drawn).sum() / np.square(held_out).sum()
        assert curve[k - 1] == pytest.approx(expected, abs=1e-5)


def test_pca_explains_its_own_training_people_fully(residuals):
    assert pca_r2(residuals[:, 0], residuals[:, 0])[-1] == pytest.approx(1, abs=1e-6)


def test_pca_finds_planted_components_and_stays_below_the_noise_ceiling():
    rng = np.random.default_rng(1)
    modes = np.linalg.qr(rng.standard_normal((300, 3)))[0].T
    clean = 10 * rng.standard_normal((80, 3)) @ modes
    noisy = clean + 0.2 * rng.standard_normal(clean.shape)
    curve = pca_r2(noisy[:60] - noisy[:60].mean(0), noisy[60:] - noisy[:60].mean(0))
    ceiling = 1 - np.square(noisy[60:] - clean[60:]).sum() / np.square(noisy[60:] - noisy[:60].mean(0)).sum()
    assert curve[2] > 0.9 * ceiling and curve[2] - curve[1] > 0.1 and curve.max() < ceiling + 0.01


def test_everybody_is_identified_from_a_faint_reconstruction_and_nobody_from_another_persons(residuals):
    assert identifiability(residuals, 0.6 * residuals).all()
    assert not identifiability(residuals, np.roll(residuals, 1, axis=0)).any()


def test_codes_are_swapped_with_another_family_only():
    families = ["a", "a", "b", "b", "b", "c", "d", "d"]
    partners = swap_partners(families)
    assert all(families[row] != families[partner] for row, partner in enumerate(partners))
    with pytest.raises(ValueError, match="two families"):
        swap_partners(["a", "a"])


def test_everybody_is_used_once_where_no_family_is_most_of_all():
    partners = swap_partners(["a", "a", "b", "c", "b"])
    assert sorted(partners) == [0, 1, 2, 3, 4]


def test_swapping_works_when_one_family_is_most_of_the_people():
    families = ["a"] * 6 + ["b"]
    partners = swap_partners(families)
    assert all(families[row] != families[partner] for row, partner in enumerate(partners))


def test_pca_errors_are_those_of_the_r2_curve():
    rng = np.random.default_rng(0)
    training, held_out = rng.standard_normal((12, 30)), rng.standard_normal((5, 30))
    curve = pca_r2(training, held_out)
    for count in (1, 4, 11):
        assert 1 - pca_errors(training, held_out, count).sum() / np.square(held_out).sum() == pytest.approx(
            curve[count - 1]
        )
