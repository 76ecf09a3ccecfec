import numpy as np
import pandas as pd
import pytest
from neuroCombat import neuroCombat

from bundle.analysis.combat import SiteModel
from bundle.analysis.combat_estimates import shift_and_scale
from bundle.analysis.sites import Sites
from bundle.data.problems import InputProblems
from tests.analysis.planted_sites import STRONG, E, planted


def refused(values, people):
    with pytest.raises(InputProblems) as caught:
        SiteModel.fit(values, people)
    return str(caught.value)


def test_shifts_and_spreads_go_and_the_effect_of_age_stays():
    values, _, people, slope = planted(n=1500)
    harmonised = SiteModel.fit(values, people).apply(values, people)
    age = people.kept["age_years"].to_numpy()
    terms = np.column_stack([np.ones(len(age)), age, people.indicators])
    weights, before = (np.linalg.lstsq(terms, one, rcond=None)[0] for one in (harmonised, values))
    spread = (harmonised - terms @ weights).std(axis=0)
    assert np.abs(before[2:]).max() > 2 and np.abs(weights[2:] / spread).max() < 0.1
    assert np.corrcoef(weights[1], slope)[0, 1] > 0.97 and np.abs(weights[1] - slope).max() < 0.1
    left = pd.DataFrame(harmonised - np.outer(age, weights[1])).groupby(people.labels.to_numpy()).std()
    assert (left.max() / left.min()).max() < 1.1


def test_people_get_the_values_they_would_have_without_sites():
    values, clean, people, _ = planted(n=1500)
    harmonised = SiteModel.fit(values, people).apply(values, people)
    for given, least, most in ((harmonised, 0.98, 1.0), (values, 0.0, 0.9)):
        agreement = [np.corrcoef(given[:, one], clean[:, one])[0, 1] for one in range(E)]
        assert least < np.mean(agreement) < most


def test_new_people_get_the_same_formula_alone_and_in_a_group():
    values, _, people, _ = planted()
    model = SiteModel.fit(values[:400], people.part(np.arange(400)))
    new = np.arange(400, 600)
    inside = [row for row in new if not model.reasons_against(people.part(np.array([row])))[0]]
    together = model.apply(values[inside], people.part(np.array(inside)))
    alone = model.apply(values[inside[:1]], people.part(np.array(inside[:1])))
    assert np.allclose(alone, together[:1]) and np.allclose(model.axes, np.eye(E)) and np.allclose(model.rest, 0)
    site = model.sites.index(people.labels.iloc[inside[0]])
    effect = model.kept.design(people.kept.iloc[inside[:1]]) @ model.kept.coefficients
    own = (values[inside[:1]] - model.centre - effect) / model.spread
    by_hand = model.spread * (own - model.shift[site]) / model.scale[site] + model.centre + effect
    assert np.allclose(alone, by_hand)


def test_few_people_are_drawn_to_the_others_and_many_are_not():
    rng = np.random.default_rng(0)
    truth = rng.normal(1, 0.3, 500)
    few, many = (truth + rng.standard_normal((count, 500)) for count in (10, 2000))
    for own, least, most in ((few, 0.55, 0.75), (many, 0.98, 1.0)):
        shift, scale = shift_and_scale(own)
        slope = np.polyfit(own.mean(axis=0), shift, 1)[0]
        assert least < slope < most
        assert np.abs(scale - 1).max() < np.abs(own.std(axis=0, ddof=1) - 1).max()
    shift, _ = shift_and_scale(few)
    assert np.square(shift - truth).mean() < 0.8 * np.square(few.mean(axis=0) - truth).mean()
    alone = shift_and_scale(few[:, :2])
    assert np.allclose(alone[0], few[:, :2].mean(axis=0)) and np.allclose(alone[1], few[:, :2].std(axis=0, ddof=1))


def test_the_answer_is_that_of_neurocombat():
    values, _, people, _ = planted(n=90)
    model = SiteModel.fit(values, people)
    design = pd.DataFrame(model.kept.design(people.kept)).rename(columns=str)
    table = design.assign(site=people.labels.to_numpy())
    theirs = neuroCombat(dat=values.T, covars=table, batch_col="site", continuous_cols=list(design))["data"].T
    assert np.abs(model.apply(values, people) - theirs).max() < 1e-5


def test_codes_are_harmonised_alike_in_any_basis():
    values, _, people, _ = planted(n=300)
    values = STRONG * values
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((E, E)))[0]
    plain, turned = (
        SiteModel.fit(codes, people, on_axes=True).apply(codes, people) for codes in (values, values @ turn)
    )
    assert np.allclose(plain @ turn, turned, atol=1e-6)
    one_by_one = SiteModel.fit(values @ turn, people).apply(values @ turn, people)
    assert np.abs(one_by_one - SiteModel.fit(values, people).apply(values, people) @ turn).max() > 0.1


def test_off_the_axes_the_plain_mean_and_one_scale_of_each_site_go():
    values, _, people, _ = planted(n=200)
    values = STRONG * values
    model = SiteModel.fit(values, people, on_axes=True)
    harmonised = model.apply(values, people)
    assert model.axes.shape == (E, 6)
    off = (harmonised - harmonised @ model.axes @ model.axes.T) - (
        model.kept.design(people.kept) @ model.kept.coefficients
    ) @ (np.eye(E) - model.axes @ model.axes.T)
    by_site = pd.DataFrame(off).groupby(people.labels.to_numpy())
    means, lengths = by_site.mean(), np.sqrt(by_site.var().sum(axis=1))
    assert np.abs(means - means.mean()).to_numpy().max() < 1e-8
    assert lengths.max() / lengths.min() < 1.0001


def test_a_value_that_is_the_same_for_everybody_stays():
    values, _, people, _ = planted(n=200)
    values[:, 3] = 7.0
    for on_axes in (False, True):
        assert np.allclose(SiteModel.fit(values, people, on_axes=on_axes).apply(values, people)[:, 3], 7.0)


def test_what_is_stored_is_what_was_fitted():
    values, _, people, _ = planted(n=200)
    model = SiteModel.fit(values, people, splines=True, on_axes=True)
    again = SiteModel.stored(model.to_arrays(), model.facts())
    assert np.array_equal(model.apply(values, people), again.apply(values, people)) and again.columns == model.columns


def test_sites_that_cannot_be_told_from_people_are_refused():
    values, _, people, _ = planted(n=200)
    labels = people.labels.copy()
    labels.iloc[3], labels.iloc[5] = "D", None
    text = refused(values, Sites(labels, people.kept))
    assert "sub-0005: no site" in text and "site D: 1 participant; 10 are needed" in text
    assert "expected two sites or more, got A" in refused(values, Sites(people.labels.map(lambda _: "A"), people.kept))
    same = people.kept.assign(scanner=people.labels.map({"A": "x", "B": "y", "C": "z"}))
    assert "No harmonising can fix that" in refused(values, Sites(people.labels, same))
