import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, Ridge

from bundle.analysis.continuum import explained_by, indicators, ridge_path
from bundle.analysis.contributions import covariate_shares, dimension_shares, modality_shares


def people(seed=0, n=240):
    rng = np.random.default_rng(seed)
    return rng, np.repeat(np.arange(n // 2), 2), rng.standard_normal((n, 12))


def table_of(scores, predictors, families, covariates=None):
    found = explained_by(scores, predictors, ["ridge"], families, covariates, n_draws=200)
    return found.set_index(["factor", "predictor"])


def test_a_continuum_is_explained_by_the_code_better_than_by_slices_of_it():
    rng, families, codes = people()
    scores = np.column_stack([codes[:, 0] + 0.7 * rng.standard_normal(len(codes)), rng.standard_normal(len(codes))])
    slices = np.digitize(codes[:, 0], [-0.5, 0.5])
    found = table_of(scores, {"strata": indicators(slices), "ridge": codes}, families)
    assert found.loc[(0, "ridge"), "r2"] > found.loc[(0, "strata"), "r2"] > 0.3
    assert found.loc[(0, "ridge"), "r2"] == pytest.approx(1 / 1.49, abs=0.08)
    assert found.loc[(1, "ridge"), "high"] < 0.1 and found.loc[(1, "strata"), "low"] < 0
    assert (found["low"] <= found["r2"]).all() and (found["r2"] <= found["high"]).all()


def test_strata_explain_steps_better_than_as_many_axes():
    rng, families, codes = people(1)
    group = rng.integers(0, 3, len(codes))
    codes[:, :2] += 5 * np.array([[0, 0], [1, 0], [0, 1]])[group]
    scores = (np.array([1.0, -1.0, 1.0])[group] + 0.5 * rng.standard_normal(len(codes)))[:, None]
    found = table_of(scores, {"strata": indicators(group), "components": codes[:, :1]}, families)
    assert found.loc[(0, "strata"), "r2"] > found.loc[(0, "components"), "r2"] + 0.1


def test_what_covariates_explain_counts_for_nobody():
    rng, families, codes = people(2)
    age = rng.normal(30, 5, len(codes))
    codes[:, 0] = (age - 30) / 5 + 0.1 * rng.standard_normal(len(codes))
    scores = ((age - 30) / 5 + 0.3 * rng.standard_normal(len(codes)))[:, None]
    covariates = pd.DataFrame({"age": age})
    assert table_of(scores, {"ridge": codes}, families).loc[(0, "ridge"), "r2"] > 0.8
    assert table_of(scores, {"ridge": codes}, families, covariates).loc[(0, "ridge"), "r2"] < 0.1


def test_shares_name_the_modality_that_was_planted():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 50)
    changes = 0.1 * rng.standard_normal((100, 3, 4))
    changes[:, 1, 0] += 4 * (labels - 0.5)
    changes[:, 2, 3] += rng.standard_normal(100)
    shares = modality_shares(changes, changes.sum(axis=1), labels, ["a", "b", "c"]).set_index(["stratum", "modality"])
    assert shares.loc[("1", "b"), "share"] > 0.9 and shares.loc[("2", "b"), "share"] > 0.9
    assert shares.loc[("everybody", "c"), "share"] > 0.1
    dimensions = dimension_shares(changes, ["a", "b", "c"]).set_index(["dimension", "modality"])["share"]
    assert dimensions[(4, "c")] > 0.9 and dimensions[(1, "b")] > 0.9


def test_shares_of_covariates_are_those_planted_and_none_for_noise():
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        {"age": rng.normal(size=400), "sex": rng.choice(["F", "M"], 400), "noise": rng.normal(size=400)}
    )
    codes = rng.standard_normal((400, 20))
    codes[:, 0] += 4 * table["age"] + 4 * (table["sex"] == "M")
    found = covariate_shares(codes, table).set_index("covariate")
    total = codes.var(axis=0).sum()
    assert found.loc["age", "share"] == pytest.approx(16 * table["age"].var() / total, abs=0.05)
    assert found.loc["sex", "share"] == pytest.approx(16 * (table["sex"] == "M").var() / total, abs=0.04)
    assert abs(found.loc["noise", "share"]) < 0.01 and abs(found.loc["noise", "share_last"]) < 0.01
    assert covariate_shares(codes, table[[]]).empty


@pytest.mark.parametrize(("n", "p"), [(60, 8), (20, 50)])
def test_ridge_is_that_of_scikit_learn(n, p):
    rng = np.random.default_rng(0)
    x, y, new = rng.standard_normal((n, p)), rng.standard_normal((n, 3)), rng.standard_normal((5, p))
    path = ridge_path(x, y, new, np.array([0.5, 20.0]))
    for number, alpha in enumerate((0.5, 20.0)):
        assert np.allclose(path[number], Ridge(alpha=alpha).fit(x, y).predict(new))
    if n > p:
        assert np.allclose(ridge_path(x, y, new, np.zeros(1))[0], LinearRegression().fit(x, y).predict(new))


def test_relatives_do_not_make_strata_look_better_than_the_whole_code():
    above = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        families = np.repeat(np.arange(120), rng.integers(1, 4, 120))
        n = len(families)
        codes = np.sqrt(0.6) * rng.standard_normal((120, 40))[families] + np.sqrt(0.4) * rng.standard_normal((n, 40))
        scores = np.sqrt(0.5) * rng.standard_normal((120, 3))[families] + np.sqrt(0.5) * rng.standard_normal((n, 3))
        slices = indicators(np.digitize(codes[:, 0], [-0.5, 0.5]))
        found = explained_by(scores, {"strata": slices, "ridge": codes}, ["ridge"], families.tolist(), None, n_draws=50)
        above += found.loc[found["predictor"] == "ridge", "above"].tolist()
    assert -0.02 < np.median(above) < 0.03
