import numpy as np
import pytest

from bundle.analysis.repeated_scans import intraclass_correlation, reliability_of, repeated_rows


def scans(rng, n_persons, n_features, icc, n_scans=2):
    """Features with a known share of variance between participants."""
    persons = np.repeat([f"p{number}" for number in range(n_persons)], n_scans)
    own = np.repeat(rng.standard_normal((n_persons, n_features)), n_scans, axis=0)
    noise = rng.standard_normal(own.shape)
    return np.sqrt(icc) * own + np.sqrt(1 - icc) * noise, persons


@pytest.mark.parametrize("icc", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("n_scans", [2, 3])
def test_a_known_intraclass_correlation_is_found(icc, n_scans):
    features, persons = scans(np.random.default_rng(0), 60, 300, icc, n_scans)
    each, (together, low, high) = intraclass_correlation(features, persons, persons, n_draws=300)
    assert np.median(each) == pytest.approx(icc, abs=0.04) and together == pytest.approx(icc, abs=0.03)
    assert low < together < high and high - low < 0.1


def test_one_feature_is_the_textbook_analysis_of_variance():
    """Shrout and Fleiss (1979), table 2: six targets, four judges; ICC(1,1) = 0.17."""
    ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
    persons = np.repeat(list("abcdef"), 4)
    each, (together, low, _) = intraclass_correlation(ratings.reshape(-1, 1), persons, persons, n_draws=50)
    assert each[0] == pytest.approx(0.17, abs=0.005) and together == pytest.approx(each[0])
    assert np.isnan(low)  # six families are too few


def test_interval_holds_the_truth_about_as_often_as_it_says():
    holds = 0
    for seed in range(60):
        features, persons = scans(np.random.default_rng(seed), 30, 40, 0.6)
        _, (_, low, high) = intraclass_correlation(features, persons, persons, n_draws=300)
        holds += low <= 0.6 <= high
    assert holds >= 51  # binomial: 60 x 0.95 fall below with probability 0.004; bootstrap intervals are a little narrow


def test_same_persons_are_nearest_if_they_are_alike_and_at_chance_if_not():
    rng = np.random.default_rng(1)
    features, persons = scans(rng, 40, 100, 0.8)
    single = rng.standard_normal((30, 100))
    names = np.r_[persons, [f"single {number}" for number in range(30)]]
    found = reliability_of(np.vstack([features, single]), names, names)
    assert found.identified[0] == 1 and found.distance_within < 0.7 * found.distance_between
    assert (found.n_persons, found.n_scans, found.n_gallery) == (40, 80, 110)
    assert found.chance == pytest.approx(1 / 109)
    noise = reliability_of(rng.standard_normal((110, 100)), names, names)
    assert noise.identified[0] < 0.1 and abs(noise.image_icc[0]) < 0.05


def test_nobody_or_hardly_anybody_repeated_says_nothing():
    features = np.random.default_rng(2).standard_normal((8, 5))
    names = np.array(["a", "a", "b", "b", "c", "d", "e", "f"])
    assert repeated_rows(names).tolist() == [0, 1, 2, 3]
    assert reliability_of(features, names, names) is None


def test_a_constant_feature_has_no_reliability_and_spoils_no_other():
    features, persons = scans(np.random.default_rng(3), 20, 3, 0.7)
    features[:, 1] = 4.0
    each, (together, _, _) = intraclass_correlation(features, persons, persons, n_draws=50)
    assert np.isnan(each[1]) and np.isfinite(each[[0, 2]]).all() and np.isfinite(together)
