import numpy as np
import pandas as pd
import pytest

from bundle.analysis.covariates import CovariateModel


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
    with pytest.raises(ValueError, match="site: the same for everybody"):
        CovariateModel.fit(codes, table.assign(site="A"))
    with pytest.raises(ValueError, match="too few"):
        CovariateModel.fit(codes[:20], table[:20])
    model = CovariateModel.fit(codes, table)
    with pytest.raises(ValueError, match=r"p0 have D.*knows A, B, C"):
        model.adjust(codes[:1], table[:1].assign(site="D"))
    with pytest.raises(ValueError, match="none named age"):
        model.adjust(codes[:1], table[["sex", "site"]][:1])
