import numpy as np
import pytest
from scipy.stats import kurtosis
from statsmodels.multivariate.factor_rotation import rotate_factors

from bundle.analysis.factors import (
    FactorModel,
    congruence,
    factor_names,
    matched,
    split_half_congruence,
    varimax,
)
from bundle.data.population import draw_population


def items(seed=0, n=400, n_factors=3, per_factor=4, loading=0.8):
    """Items of which each loads on one factor: `(N, I)`, loadings `(I, K)`, scores `(N, K)`."""
    rng = np.random.default_rng(seed)
    loadings = np.kron(np.eye(n_factors), np.full((per_factor, 1), loading))
    scores = rng.standard_normal((n, n_factors))
    noise = np.sqrt(1 - loading**2) * rng.standard_normal((n, len(loadings)))
    return scores @ loadings.T + noise, loadings, scores


def test_varimax_is_that_of_statsmodels_after_kaisers_normalisation():
    rng = np.random.default_rng(0)
    loadings = rng.standard_normal((12, 4))
    lengths = np.linalg.norm(loadings, axis=1, keepdims=True)
    theirs = rotate_factors(loadings / lengths, "varimax", tol=1e-12)[0] * lengths
    assert np.abs(np.diag(congruence(theirs, matched(theirs, varimax(loadings))))).min() > 1 - 1e-8
    assert np.allclose(np.square(varimax(loadings)).sum(axis=1), np.square(loadings).sum(axis=1))


def test_planted_factors_are_found_with_their_number():
    values, loadings, scores = items()
    model = FactorModel.fit(values)
    assert model.n_factors == 3
    found = matched(loadings, model.loadings)
    assert np.diag(congruence(loadings, found)).min() > 0.98
    related = np.abs(np.corrcoef(scores.T, model.scores(values).T)[:3, 3:])
    assert (related.max(axis=1) > 0.9).all()


def test_scores_are_uncorrelated_and_of_unit_spread():
    values = items()[0]
    scores = FactorModel.fit(values).scores(values)
    assert np.allclose(np.cov(scores.T, ddof=0), np.eye(3), atol=1e-8)


def test_noise_gives_one_factor_at_most_and_a_wish_is_granted():
    noise = np.random.default_rng(1).standard_normal((300, 10))
    assert FactorModel.fit(noise).n_factors == 1
    assert FactorModel.fit(noise, n_factors=5).n_factors == 5
    with pytest.raises(ValueError, match="1 to 10 factors"):
        FactorModel.fit(noise, n_factors=11)


def test_missing_values_are_filled_from_the_other_items():
    values, loadings, _ = items(n=500)
    holes = values.copy()
    holes[np.random.default_rng(0).random(values.shape) < 0.1] = np.nan
    model = FactorModel.fit(holes)
    assert np.isfinite(model.scores(holes)).all()
    assert np.diag(congruence(loadings, matched(loadings, model.loadings))).min() > 0.97
    whole = matched(FactorModel.fit(values).loadings, model.loadings)
    assert np.abs(whole - FactorModel.fit(values).loadings).max() < 0.12


def test_new_people_are_scored_by_what_was_fitted():
    values = items()[0]
    model = FactorModel.fit(values[:300])
    alone = np.concatenate([model.scores(row[None]) for row in values[300:310]])
    assert np.allclose(alone, model.scores(values[300:])[:10])
    values[300, 2] = np.nan  # a gap in an item that no participant lacked before
    assert np.isfinite(model.scores(values[300:])).all()


def test_signs_are_fixed_and_order_is_by_variance():
    values = items()[0]
    values[:, 8:] *= -1
    model = FactorModel.fit(values)
    largest = np.abs(model.loadings).argmax(axis=0)
    assert (model.loadings[largest, range(3)] > 0).all() and (np.diff(model.explained) <= 0).all()


def test_ranks_tame_long_tails_and_keep_order():
    values = np.exp(2 * items()[0])
    model = FactorModel.fit(values, is_ranked=[True] * values.shape[1])
    standard = model.standardised(values)
    assert np.abs(kurtosis(standard, axis=0)).max() < 0.3 and np.allclose(standard.std(axis=0), 1)
    assert (np.argsort(standard[:, 0]) == np.argsort(values[:, 0])).all()
    beyond = values[:1].copy()
    beyond[0, 0] = 1e9
    assert model.standardised(beyond)[0, 0] == standard[:, 0].max()


def test_halves_agree_on_real_factors_and_not_on_noise():
    values = items()[0]
    model = FactorModel.fit(values)
    families = np.repeat(np.arange(200), 2)
    real = split_half_congruence(model.standardised(values), model.loadings, families, 5, 0)
    noise = np.random.default_rng(2).standard_normal((400, 12))
    by_chance = FactorModel.fit(noise, n_factors=3)
    none = split_half_congruence(by_chance.standardised(noise), by_chance.loadings, families, 5, 0)
    assert real.shape == (5, 3) and real.min() > 0.95 and np.median(none) < 0.8


def test_names_are_those_of_the_largest_loadings():
    loadings = np.array([[0.9, 0.1], [0.5, 0.2], [0.0, -0.7], [0.1, 0.3]])
    assert factor_names(loadings, ["anger", "rules", "sleep", "pain"]) == ["anger, rules", "low sleep"]
    assert factor_names(0.1 * loadings, ["anger", "rules", "sleep", "pain"]) == ["anger", "low sleep"]


@pytest.mark.parametrize("seed", range(3))
def test_factors_of_the_synthetic_cohort_are_found_again(seed):
    people = draw_population(np.random.default_rng(seed), 300, 4, 6.0, 0.03)
    model = FactorModel.fit(people.phenotypes.to_numpy())
    truth = people.loadings.to_numpy()
    assert model.n_factors == truth.shape[1]
    assert np.diag(congruence(truth, matched(truth, model.loadings))).min() > 0.9


def test_items_that_say_the_same_and_small_halves_do_no_harm():
    values = items(n=60)[0][:, :5]
    values = np.column_stack([values, values.sum(axis=1)])
    with pytest.raises(ValueError, match="1 to 5 factors"):
        FactorModel.fit(values, n_factors=6)
    model = FactorModel.fit(values, n_factors=5)
    assert np.isfinite(model.scores(values)).all()
    found = split_half_congruence(model.standardised(values)[:10], model.loadings, range(10), 3, 0)
    assert np.isnan(found).all()
    rare = items(n=60)[0]
    rare[:, 0] = np.arange(60) == 0
    model = FactorModel.fit(rare, n_factors=3)
    assert np.isfinite(split_half_congruence(model.standardised(rare), model.loadings, range(60), 5, 0)).all()
