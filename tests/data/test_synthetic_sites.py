import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bundle.data.cohort_settings import CohortSettings
from bundle.data.cohort_writer import write_cohort
from bundle.data.synthetic import SyntheticCohort

PLAIN = CohortSettings(n_subjects=24, spacing_mm=6.0)


@pytest.fixture(scope="module", params=range(3))
def cohorts(request):
    plain = replace(PLAIN, seed=request.param)
    return SyntheticCohort(plain), SyntheticCohort(replace(plain, site_effect=1.0))


def test_a_site_effect_of_nearly_nothing_changes_nearly_nothing(cohorts):
    plain, _ = cohorts
    nearly = SyntheticCohort(replace(plain.settings, site_effect=1e-6))
    in_b = int(np.flatnonzero(plain.population.participants["site"] == "B")[0])
    for name, image in nearly.draw_subject(in_b).images.items():
        np.testing.assert_allclose(image, plain.draw_subject(in_b).images[name], rtol=1e-4, atol=1e-4)
    for table in ("participants", "truth"):
        pd.testing.assert_frame_equal(getattr(nearly.population, table), getattr(plain.population, table))
    pd.testing.assert_frame_equal(nearly.population.phenotypes, plain.population.phenotypes, atol=0.011)


def test_only_site_b_is_changed_and_only_in_contrast(cohorts):
    plain, other = cohorts
    sites = plain.population.participants["site"]
    numbers = [int(np.flatnonzero(sites == name)[0]) for name in ("A", "B")]
    for number, site in zip(numbers, ("A", "B"), strict=True):
        before, after = (cohort.draw_subject(number).images for cohort in cohorts)
        for name in before:
            is_changed = not np.array_equal(before[name], after[name])
            assert is_changed == (site == "B" and name != "JAC")
            if is_changed:
                inside = before[name] > 0.2 * before[name].max()
                change = after[name][inside] / before[name][inside] - 1
                assert 0.01 < np.sqrt(np.mean(change**2)) < 0.15
    assert plain.population.participants.equals(other.population.participants)
    assert plain.population.truth.equals(other.population.truth)


def test_phenotypes_of_site_b_are_shifted_by_half_a_standard_deviation(cohorts):
    plain, other = cohorts
    is_b = plain.population.participants["site"] == "B"
    moved = (other.population.phenotypes - plain.population.phenotypes) / plain.population.phenotypes.std()
    assert np.allclose(moved[~is_b].fillna(0), 0, atol=0.05) and np.allclose(moved[is_b].fillna(0.5), 0.5, atol=0.05)


def test_a_cohort_of_before_is_taken_up(tmp_path):
    settings = CohortSettings(n_subjects=2, spacing_mm=6.0)
    write_cohort(tmp_path, settings, num_workers=1)
    file = tmp_path / "cohort.json"
    stored = json.loads(file.read_text())
    del stored["site_effect"]
    file.write_text(json.dumps(stored))
    write_cohort(tmp_path, settings, num_workers=1)
