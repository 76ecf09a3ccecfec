import numpy as np
import pandas as pd
import pytest

from bundle.analysis.fold_split import RARE, combined_strata, stratified_folds, validation_people
from bundle.data.population import draw_population


def people(n_people, seed):
    return draw_population(np.random.default_rng(seed), n_people, 4, 6.0, 0.0).participants


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("n_people", "n_folds"), [(60, 5), (300, 10)])
@pytest.mark.parametrize("columns", [["sex"], ["sex", "site"]])
def test_families_never_straddle_and_strata_are_as_even_as_families_allow(n_people, n_folds, columns, seed):
    table = people(n_people, seed)
    strata = combined_strata(table[columns], n_folds)
    folds = stratified_folds(strata, table["family_id"], n_folds, seed)
    assert set(folds) == set(range(1, n_folds + 1))
    assert table.assign(fold=folds).groupby("family_id")["fold"].nunique().max() == 1
    counts = pd.crosstab(folds, strata)
    largest_family = table["family_id"].value_counts().max()
    assert (counts.max() - counts.min()).max() <= largest_family


def test_unstratified_folds_ignore_what_stratified_ones_even_out():
    table = people(300, 0)
    by_sex = combined_strata(table[["sex"]], 10)
    ranges = []
    for strata in (by_sex, np.full(len(table), RARE)):
        counts = pd.crosstab(stratified_folds(strata, table["family_id"], 10, 0), table["sex"])
        ranges.append((counts.max() - counts.min()).max())
    assert ranges[0] < ranges[1]


def test_same_seed_gives_the_same_folds_and_another_others():
    table = people(120, 1)
    one, same, other = (stratified_folds(table["sex"], table["family_id"], 10, seed) for seed in (3, 3, 4))
    assert (one == same).all() and (one != other).any()


def test_order_of_columns_decides_what_a_rare_combination_keeps():
    table = pd.DataFrame({"sex": ["F"] * 30 + ["M"] * 30, "site": ["A"] * 29 + ["B"] + ["A"] * 20 + ["B"] * 10})
    assert set(combined_strata(table, 10)) == {"F | A", "M | A", "M | B", RARE}
    assert (combined_strata(table, 10) == RARE).sum() == 1
    table.loc[:10, "site"] = [f"site {number}" for number in range(11)]
    labels = combined_strata(table, 10)
    assert set(labels[:11]) == {"F"} and RARE not in labels[:11]


def test_missing_values_and_numbers_are_strata_too():
    table = people(200, 2).assign(sex=lambda frame: frame["sex"].where(np.arange(200) % 5 > 0))
    assert set(combined_strata(table[["sex"]], 10)) == {"F", "M", "not known"}
    ages = table["age_years"].astype(str)
    labels = combined_strata(ages.to_frame(), 10)
    assert len(set(labels)) == 4 and np.unique(labels, return_counts=True)[1].min() >= 45


def test_too_few_families_are_refused():
    with pytest.raises(ValueError, match="greater"):
        stratified_folds(["F"] * 6, ["one", "one", "two", "two", "three", "three"], 4, 0)


@pytest.mark.parametrize("seed", range(3))
def test_validation_takes_whole_families_and_about_its_share(seed):
    table = people(300, seed)
    chosen = validation_people(table["family_id"], 0.15, seed)
    assert not set(table["family_id"][chosen]) & set(table["family_id"][~chosen])
    assert 0.10 < chosen.mean() < 0.20
