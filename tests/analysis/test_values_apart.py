import numpy as np
import pandas as pd
import pytest

from bundle.analysis.values_apart import notes_on_covariates, values_apart, words_on_values_apart

PRESSURE = np.random.default_rng(0).normal(120, 14, 300).round()


@pytest.mark.parametrize("n_people", [1, 43, 120])
def test_a_code_for_missing_is_found_however_many_have_it(n_people):
    values = PRESSURE.copy()
    values[:n_people] = -999
    values[-1] = np.nan
    assert values_apart(values).tolist() == [-999]
    who = "1 participant has" if n_people == 1 else f"{n_people} participants have"
    assert words_on_values_apart(values).startswith(f"{who} -999, all others {np.nanmin(values[n_people:]):g} to ")


def test_several_codes_and_slips_on_both_sides_are_found():
    values = PRESSURE.copy()
    values[:6] = [-999, -998, -999, 9999, 1250, 1310]
    assert values_apart(values).tolist() == [-999, -998, 1250, 1310, 9999]
    assert "6 participants have values from -999 to 9999, all others" in words_on_values_apart(values)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [np.nan, np.nan],
        [1.0] * 20,
        [0.0] * 30 + [1.0],
        [0.0, 1.0, 2.0] * 10,
        [1.0, 2.0, 3.0, 4.0, 5.0] * 10,
        [0.0] * 40 + list(range(50, 60)),  # most participants have none of it
    ],
)
def test_ordinary_items_have_nothing_apart(values):
    assert not len(values_apart(np.array(values, dtype=float)))
    assert words_on_values_apart(np.array(values, dtype=float)) == ""


def test_bell_shaped_numbers_have_nothing_apart():
    rng = np.random.default_rng(1)
    assert not any(len(values_apart(rng.standard_normal(100))) for _ in range(500))


def test_covariates_that_are_numbers_are_looked_at():
    ages = np.linspace(22, 37, 40)
    ages[:2] = 999
    (note,) = notes_on_covariates(pd.DataFrame({"age_years": ages, "sex": ["F", "M"] * 20, "head": np.arange(40)}))
    assert note.startswith(
        "age_years: 2 participants have 999, all others 22.7692 to 37: is it a code for a missing value"
    )
    assert notes_on_covariates(None) == []
