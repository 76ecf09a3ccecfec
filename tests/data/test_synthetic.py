"""What images of the synthetic cohort show, whatever the seed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bundle.data.cohort_settings import CohortSettings
from bundle.data.synthetic import MODALITIES, SyntheticCohort

SETTINGS = CohortSettings(n_subjects=60, spacing_mm=6.0, seed=11)


@pytest.fixture(scope="module")
def cohort():
    return SyntheticCohort(SETTINGS)


def in_brain(cohort):
    return cohort.anatomy._brain > 0.5


def likeness(cohort, first, second):
    """Correlation of the private anatomy of two participants, over fields and voxels of the brain."""
    fields = []
    for number in (first, second):
        own = np.random.default_rng([cohort.settings.seed, 3, number])
        private = cohort.anatomy.private_fields(own, *cohort._relatives[number])
        stacked = np.concatenate([private.registered, private.log_odds, private.contrast])
        fields.append(stacked / stacked.std(axis=(1, 2, 3), keepdims=True))
    return np.corrcoef(*(field.ravel() for field in fields))[0, 1]


def test_relatives_resemble_each_other_in_private_anatomy_and_identical_twins_twice_as_much(cohort):
    people = cohort.population.participants.reset_index()
    pairs = {"MZ": [], "siblings": [], "strangers": []}
    for _, family in people.groupby("family_id"):
        if (family["zygosity"] == "MZ").any():
            pairs["MZ"].append(family.index[:2])
        elif len(family) > 1:
            pairs["siblings"].append(family.index[:2])
    first_of_family = people.drop_duplicates("family_id").index
    pairs["strangers"] = list(zip(first_of_family[::2], first_of_family[1::2], strict=False))
    found = {kind: np.mean([likeness(cohort, *pair) for pair in those[:6]]) for kind, those in pairs.items()}
    expected = {"MZ": 0.4, "siblings": 0.2, "strangers": 0.0}
    assert all(abs(found[kind] - value) < 0.06 for kind, value in expected.items()), found


def test_log_jacobians_are_finite_and_no_warp_folds(cohort):
    for number in range(5):
        jacobian = cohort.draw_subject(number).images["JAC"]
        assert np.isfinite(jacobian).all() and (jacobian < 0).any() and (jacobian > 0).any()
        assert jacobian.min() > np.log(0.02)  # 0.01 is what folds are set to


def test_head_size_is_not_in_the_jacobian():
    # what is left of it is a pattern of growth here and shrinking there: affine registration took the rest
    velocity = SyntheticCohort(SETTINGS).anatomy.velocities[-2]
    divergence = sum(np.gradient(velocity[axis], axis=axis) for axis in range(3))
    assert abs(divergence.mean()) < 0.1 * divergence.std()


def test_the_brain_has_no_sharp_edge_and_nothing_lies_outside(cohort):
    images = cohort.draw_subject(3).images
    t1w = images["T1w"]
    outside = t1w == 0
    assert 0.4 < outside.mean() < 0.8
    assert all((images[modality][outside] < 0.02).all() for modality in ("FA", "NDI"))
    assert ((t1w > 0) & (t1w < 100)).any()


def test_missing_images_leave_the_others_as_they_were(cohort):
    holed = SyntheticCohort(replace(SETTINGS, missing_modalities=0.5))
    for number in range(4):
        whole, rest = cohort.draw_subject(number).images, holed.draw_subject(number).images
        assert 1 <= len(rest) <= len(MODALITIES)
        assert all(np.array_equal(whole[modality], rest[modality]) for modality in rest)


def test_everybody_is_simulated_by_their_own_number_and_family(cohort):
    # a cohort of more participants begins with the same families, and their images are the same
    more = SyntheticCohort(replace(SETTINGS, n_subjects=61))
    pd.testing.assert_index_equal(more.population.participants.index[:60], cohort.population.participants.index)
    assert cohort._relatives == more._relatives[:60]
