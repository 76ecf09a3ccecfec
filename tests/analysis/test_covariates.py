import numpy as np
import pandas as pd
import pytest

from bundle.analysis.covariates import CovariateModel, rounded_range


def cohort(n=200, seed=0):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {"age": rng.uniform(20, 80, n), "sex": rng.choice(["F", "M"], n), "site": rng.choice(["A", "B", "C"], n)},
        index=[f"p{number}" for number in range(n)],
    )
    own = rng.standard_normal((n, 4))
    effect = np.column_stack([table["age"] / 10, (table["age"] / 20) ** 2, table["sex"] == "M", table["site"] == "C"])
    return own + 3 * effect.astype(float), own, table


def test_effects_of_numbers_their_squares_and_categories_are_taken_out():
    codes, own, table = cohort()
    adjusted = CovariateModel.fit(codes, table).adjust(codes, table)
    for column in range(4):
        assert np.corrcoef(adjusted[:, column], own[:, column])[0, 1] > 0.97
    assert abs(np.corrcoef(adjusted[:, 0], table["age"])[0, 1]) < 1e-6


def test_new_people_are_adjusted_by_the_model_alone():
    codes, own, table = cohort(400)
    model = CovariateModel.fit(codes[:300], table[:300])
    together = model.adjust(codes[300:], table[300:])
    alone = np.concatenate([model.adjust(codes[[row]], table.iloc[[row]]) for row in range(300, 400)])
    assert np.allclose(together, alone)
    assert np.corrcoef(together[:, 0], own[300:, 0])[0, 1] > 0.95


def test_what_cannot_be_used_is_refused_by_name():
    codes, _, table = cohort()
    with pytest.raises(ValueError, match="age: no value for p3"):
        CovariateModel.fit(codes, table.assign(age=table["age"].where(table.index != "p3")))
    with pytest.raises(ValueError, match="site: the same for all participants"):
        CovariateModel.fit(codes, table.assign(site="A"))
    with pytest.raises(ValueError, match="too few"):
        numbers = np.random.default_rng(0).standard_normal((20, 3))
        CovariateModel.fit(codes[:20], pd.DataFrame(numbers, columns=["a", "b", "c"]))
    rare = table.assign(site=["D"] * 3 + list(table["site"][3:]))
    with pytest.raises(ValueError, match="site: fewer than 10 participants have D"):
        CovariateModel.fit(codes, rare)
    model = CovariateModel.fit(codes, table)
    with pytest.raises(ValueError, match="none named age"):
        model.adjust(codes[:1], table[["sex", "site"]][:1])


def test_people_outside_what_was_seen_are_named_and_still_get_a_code():
    codes, _, table = cohort()
    model = CovariateModel.fit(codes, table)
    odd = table[:4].astype({"age": object})
    odd.iloc[0, 0], odd.iloc[1, 1], odd.iloc[2, 2] = 150.0, None, "D"
    reasons = model.reasons_against(odd)
    assert "age 150 is outside" in reasons[0] and "sex" in reasons[1] and "site D is none of A, B, C" in reasons[2]
    assert reasons[3] == "" and np.isfinite(model.adjust(codes[:4], odd)).all()
    assert np.allclose(model.adjust(codes[:4], odd)[3], model.adjust(codes[:4], table[:4])[3])


def test_splines_follow_what_a_square_does_not():
    _, own, table = cohort(600)
    steep = 8 / (1 + np.exp(-(table["age"].to_numpy() - 60) / 4))
    codes = own + steep[:, None]
    left = {splines: CovariateModel.fit(codes, table, splines).adjust(codes, table) - own for splines in (False, True)}
    assert left[True].std(axis=0).mean() < 0.8 * left[False].std(axis=0).mean()


def test_splines_are_straight_outside_and_new_people_are_adjusted_by_the_model_alone():
    codes, _, table = cohort(400)
    model = CovariateModel.fit(codes[:300], table[:300], splines=True)
    alone = np.concatenate([model.adjust(codes[[row]], table.iloc[[row]]) for row in range(300, 320)])
    assert np.allclose(model.adjust(codes[300:320], table[300:320]), alone)
    high = model.numbers["age"][3]
    ends = pd.DataFrame({"age": [high - 2, high - 1, high], "sex": "F", "site": "A"})
    steps = np.diff(model.design(ends), axis=0)
    assert np.allclose(steps[0], steps[1])
    few = table.assign(age=np.where(table["age"] > 50, 1, 0))
    assert len(CovariateModel.fit(codes, few, splines=True).numbers["age"]) == 4


@pytest.mark.parametrize("seed", range(10))
def test_the_range_that_is_passed_on_holds_everybody_and_is_nobodys_own(seed):
    rng = np.random.default_rng(seed)
    values = pd.Series(rng.normal(30 * 10.0 ** (seed % 3), 4, 60).round(3))
    least, largest = rounded_range(values, float(values.std()))
    assert least <= values.min() and values.max() <= largest
    assert not {least, largest} & set(values) and largest - least < np.ptp(values) + 2 * values.std()
