import numpy as np
import pandas as pd
import pytest

from bundle.analysis.combat import SiteModel
from bundle.analysis.site_calibration import calibrate_sites
from bundle.analysis.sites import Sites
from bundle.data.problems import InputProblems
from tests.analysis.planted_sites import STRONG, E, planted


def test_a_calibration_set_adds_its_site_and_changes_nobody_else():
    values, clean, people, _ = planted(n=1500)
    known = np.flatnonzero((people.labels != "C").to_numpy())
    model = SiteModel.fit(values[known], people.part(known), on_axes=True)
    assert model.unseen(people.labels) == ["C"] and "site C is none of A, B" in "".join(model.reasons_against(people))
    of_c = np.flatnonzero((people.labels == "C").to_numpy())
    fits = [row for row in of_c if not model.kept.reasons_against(people.kept.iloc[[row]])[0]]
    calibrating, new = np.array(fits[:60]), np.array(fits[60:])
    extended = calibrate_sites(model, values[calibrating], people.part(calibrating))
    assert extended.sites == ("A", "B", "C") and extended.unseen(people.labels) == []
    assert np.array_equal(
        extended.apply(values[known], people.part(known)), model.apply(values[known], people.part(known))
    )
    reference = model.apply(values[known], people.part(known)).mean(axis=0)
    before, after = (one.apply(values[new], people.part(new)) for one in (model, extended))
    ages = people.kept["age_years"].iloc[new].mean() - people.kept["age_years"].iloc[known].mean()
    effect = np.polyfit(people.kept["age_years"], clean, 1)[0] * ages
    assert (
        np.abs(before.mean(axis=0) - reference - effect).mean()
        > 4 * np.abs(after.mean(axis=0) - reference - effect).mean()
    )
    with pytest.raises(InputProblems, match="site C: 9 participants to calibrate it with; 10 are needed"):
        calibrate_sites(model, values[calibrating[:9]], people.part(calibrating[:9]))
    odd = people.part(calibrating)
    odd.kept.iloc[0, 0] = 150.0
    with pytest.raises(InputProblems, match=r"age_years 150 is outside .* leave this participant out"):
        calibrate_sites(model, values[calibrating], odd)


def test_a_calibration_set_of_one_family_or_of_copies_is_refused():
    values, _, people, _ = planted(n=600)
    known = np.flatnonzero((people.labels != "C").to_numpy())
    of_c = np.flatnonzero((people.labels == "C").to_numpy())
    for on_axes in (False, True):
        model = SiteModel.fit(STRONG * values[known], people.part(known), on_axes=on_axes)
        own = np.array([row for row in of_c if not model.kept.reasons_against(people.kept.iloc[[row]])[0]][:10])
        with pytest.raises(
            InputProblems, match="site C: 10 participants of 1 family to calibrate it with; 5 families are"
        ):
            calibrate_sites(model, STRONG * values[own], people.part(own), ["F"] * 10)
        in_pairs = calibrate_sites(model, STRONG * values[own], people.part(own), np.arange(10) // 2)
        assert in_pairs.sites == ("A", "B", "C")
        copies = np.repeat(STRONG * values[own[:1]], 10, axis=0) + 1e-3 * np.random.default_rng(0).standard_normal(
            (10, E)
        )
        same = Sites(
            people.labels.iloc[own], pd.concat([people.kept.iloc[own[:1]]] * 10).set_axis(people.labels.index[own])
        )
        with pytest.raises(
            InputProblems, match=r"site C: along some axis its participants spread less than 0.01 times .* 1/3 to 3"
        ):
            calibrate_sites(model, copies, same)
        with pytest.raises(InputProblems, match="site C: along some axis its participants spread"):
            calibrate_sites(model, 20 * STRONG * values[own], people.part(own))
