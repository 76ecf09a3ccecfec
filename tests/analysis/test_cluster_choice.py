import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from bundle.analysis.choice_settings import ChoiceSettings
from bundle.analysis.cluster_choice import choose, family_folds, outlying_people
from bundle.analysis.power import power
from bundle.analysis.simulated_cohorts import CONTINUA, continuum, grouped

QUICK = ChoiceSettings(max_strata=6)


def chosen(cohort, seed=0):
    return choose(cohort.points, cohort.families.tolist(), QUICK, seed)


@pytest.mark.parametrize(
    ("shares", "separation"), [((9, 1), 7), ((3, 1), 6), ((1, 1), 5), ((6, 3, 1), 7), ((1, 1, 1, 1), 6)]
)
def test_groups_of_unequal_size_are_found_with_their_number(shares, separation):
    found = chosen(grouped(shares, separation, 300, 10, np.random.default_rng(0)))
    assert found.has_gaps and found.chosen.n_clusters == len(shares)
    assert found.without_gap == [] and found.evidence > 2


@pytest.mark.parametrize("shape", [shape for shape in CONTINUA if shape != "long tail"])
def test_continua_have_no_gaps(shape):
    """Seldom by design: seed 0 is one of many; docs/results.md has their shares."""
    assert not chosen(continuum(shape, 300, 10, np.random.default_rng(0))).has_gaps


def test_two_sources_of_unequal_size_are_found():
    """185 and 35 participants in 17 dimensions whose histogram along the line of means is that of two real data sets."""
    rng = np.random.default_rng(0)
    counts = [8, 101, 55, 18, 2, 1, 10, 19, 6]
    along = np.repeat(-0.4 + 0.2 * np.arange(9), counts) + 0.2 * rng.random(220)
    points = rng.standard_normal((220, 17))
    points[:, 0] = 5 * along
    found = choose(points - points.mean(axis=0), list(range(220)), ChoiceSettings(), 0)
    assert found.has_gaps and sorted(np.bincount(found.chosen.labels))[0] == pytest.approx(36, abs=3)


def test_groups_that_a_continuum_cuts_across_are_found_by_joining_what_has_no_gap():
    rng = np.random.default_rng(0)
    cohort = grouped((3, 1), 7, 400, 6, rng)
    cohort.points[:, 3] += 14 * (rng.random(400) - 0.5)  # along which k-means cuts both groups
    found = chosen(cohort)
    assert found.has_gaps and found.chosen.n_clusters == 2
    assert adjusted_rand_score(cohort.groups[~found.outlying], found.chosen.labels) > 0.9


def test_folds_take_whole_families_and_are_alike_in_size():
    families = np.arange(300) // 3
    folds = family_folds(families, 10, seed=0)
    assert all(len(set(folds[families == family])) == 1 for family in range(100))
    assert set(np.bincount(folds)) == {30}


def test_only_a_handful_far_away_is_outlying():
    points = np.random.default_rng(0).standard_normal((100, 5))
    assert not outlying_people(points, QUICK).any()
    points[:3] += 60
    points[3:5] -= 90
    points[5:25] += 30  # enough for a group
    assert np.flatnonzero(outlying_people(points, QUICK)).tolist() == [0, 1, 2, 3, 4]


def test_a_small_group_is_sparse_and_not_outlying():
    points = np.random.default_rng(0).standard_normal((300, 2))
    points[:30] += 7
    assert outlying_people(points, QUICK).sum() < 5


def test_power_is_counted_in_cohorts_of_the_same_families():
    found = power(np.arange(200) // 2, 5, QUICK, 3, seed=0)
    assert (found.n_people, found.n_dimensions, found.n_cohorts) == (200, 5, 3) and 0 <= found.n_found <= 3
    assert f"in {found.n_found} of 3 simulated cohorts" in found.sentence
    assert power(np.arange(200), 5, QUICK, 0, seed=0) is None
