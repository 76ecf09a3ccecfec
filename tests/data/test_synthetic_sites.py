import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from bundle.data.cohort_settings import CohortSettings
from bundle.data.cohort_writer import write_cohort
from bundle.data.synthetic import SyntheticCohort

PLAIN = CohortSettings(n_subjects=12, spacing_mm=6.0, seed=3)
TABLES = "a61fdc1dd5d9c9f3"
"""SHA-256 of the tables of `PLAIN`: a change here changes every figure that the documentation reports."""
MEANS = {"T1w": 230.98499, "FA": 0.05513, "NDI": 0.15077, "JAC": -0.00433}
"""Of the first person's images; site A."""


@pytest.fixture(scope="module")
def cohorts():
    return SyntheticCohort(PLAIN), SyntheticCohort(replace(PLAIN, site_effect=1.0))


def test_without_a_site_effect_the_cohort_is_that_of_the_documentation(cohorts):
    plain, _ = cohorts
    people = plain.population
    text = "".join(table.to_csv() for table in (people.participants, people.phenotypes, people.truth))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == TABLES
    for name, image in plain.draw_subject(0).images.items():
        assert np.isclose(image.mean(), MEANS[name], rtol=1e-4, atol=1e-5)


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
    settings = CohortSettings(n_subjects=2, spacing_mm=6.0, seed=3)
    write_cohort(tmp_path, settings, num_workers=1)
    file = tmp_path / "cohort.json"
    stored = json.loads(file.read_text())
    del stored["site_effect"]
    file.write_text(json.dumps(stored))
    write_cohort(tmp_path, settings, num_workers=1)
