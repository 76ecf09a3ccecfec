import numpy as np
import pandas as pd
import pytest

from bundle.analysis.combat import SiteModel
from bundle.analysis.site_prediction import predict_sites, predictable_sites
from bundle.analysis.sites import Sites

AXES = np.random.default_rng(9).standard_normal((8, 40))
SCANNER = np.random.default_rng(10).standard_normal(40)


def cohort(seed=0, n=160, shift=0.0, scale=1.0, sites=("A", "B"), shares=None):
    """Embeddings of pairs of relatives who resemble each other and were scanned at one site; what the second site does to them."""
    rng = np.random.default_rng(seed)
    families = np.arange(n) // 2
    shared = rng.standard_normal((families.max() + 1, 8))[families]
    codes = (np.sqrt(0.6) * shared + np.sqrt(0.4) * rng.standard_normal((n, 8))) @ AXES
    codes += 0.3 * rng.standard_normal(codes.shape)
    site_of = rng.choice(len(sites), families.max() + 1, p=shares)[families]
    second = site_of == 1
    codes = np.where(second[:, None], scale * codes, codes) + shift * np.outer(second, SCANNER)
    return codes, pd.Series(np.array(sites)[site_of], name="site"), families


def told(codes, labels, families, treatment=None, **more):
    more |= {"knowing_sites": ["codes"]} if treatment else {}
    treatment = treatment or (lambda seen: codes)
    return predict_sites({"codes": treatment}, labels, families, n_permutations=199, n_draws=100, **more)["codes"]


def harmoniser(codes, labels):
    people = Sites(labels, pd.DataFrame(index=labels.index))
    return lambda seen: SiteModel.fit_unchecked(codes[seen], people.part(seen), on_axes=True).apply(codes, people)


@pytest.mark.parametrize(("shift", "scale", "least"), [(0.3, 1.0, 0.9), (0.0, 1.6, 0.7), (0.3, 1.6, 0.9)])
def test_what_a_scanner_does_is_found_and_harmonised_codes_do_not_show_it(shift, scale, least):
    codes, labels, families = cohort(shift=shift, scale=scale)
    found = told(codes, labels, families)
    assert found.accuracy > least and found.p_value <= 0.01 and found.low > found.chance_high
    assert found.low <= found.accuracy <= found.high and set(found.recall) == {"A", "B"}
    after = told(codes, labels, families, harmoniser(codes, labels))
    assert not after.is_above_chance and after.accuracy < 0.6
    assert np.isnan([after.p_value, after.chance_low, after.chance_high]).all() and "regressed out" in after.untested


def test_nothing_is_found_in_noise_though_relatives_share_site_and_code():
    p_values = [told(*cohort(seed)).p_value for seed in range(20)]
    assert np.mean(np.array(p_values) <= 0.05) <= 0.2 and np.median(p_values) > 0.2


def test_small_sites_count_as_much_as_large_ones():
    codes, labels, families = cohort(n=300, shares=[0.9, 0.1])
    found = told(codes, labels, families)
    assert found.chance == 0.5 and found.chance_low < found.accuracy < found.chance_high
    assert 0.3 < found.chance_low < 0.5 < found.chance_high < 0.7


def test_whoever_is_held_out_has_no_part_in_the_fit():
    codes, labels, families = cohort(shift=1.0)
    asked = []

    def treatment(seen):
        asked.append(seen)
        return harmoniser(codes, labels)(seen)

    told(codes, labels, families, treatment)
    assert len(asked) == 5
    for seen in asked:
        assert not set(families[seen]) & set(np.delete(families, seen))
        held_out = np.setdiff1d(np.arange(len(codes)), seen)
        other = codes.copy()
        other[held_out] += 100.0
        before, after = (harmoniser(one, labels)(seen) for one in (codes, other))
        assert np.array_equal(before[seen], after[seen])


def test_sites_of_few_families_and_people_without_a_site_are_left_out():
    codes, labels, families = cohort(n=200, shift=1.0)
    labels.iloc[:8], labels.iloc[8:14] = "C", None  # four families of site C
    assert predictable_sites(labels, families) == ["A", "B"]
    assert set(told(codes, labels, families).recall) == {"A", "B"}
    one_family_each = pd.Series([f"site {family}" for family in families], name="site")
    assert predict_sites({"codes": lambda seen: codes}, one_family_each, families) == {}


def test_families_that_only_change_places_with_their_own_site_test_nothing():
    rng = np.random.default_rng(5)
    labels = pd.Series(np.repeat(["A", "B"], 80), name="site")
    families = np.r_[np.arange(80) // 2, 100 + np.arange(80)]  # pairs at A, only children at B
    codes = rng.standard_normal((160, 8)) @ AXES + 3 * np.outer(labels == "B", SCANNER)
    found = told(codes, labels, families)
    assert found.accuracy > 0.99 and found.low > found.chance and found.is_above_chance
    assert np.isnan([found.p_value, found.chance_low, found.chance_high]).all()
    assert "family sizes differ between sites" in found.untested
    nothing = told(rng.standard_normal((160, 8)) @ AXES, labels, families)
    assert np.isnan(nothing.p_value) and not nothing.is_above_chance
    # a few families of another size do not keep the rest from being tested
    mixed = pd.Series(np.where(np.arange(160) < 100, np.arange(160) % 2, 1), name="site").map({0: "A", 1: "B"})
    of_mixed = np.r_[np.arange(100), 100 + np.arange(60) // 2]
    assert told(codes, mixed, of_mixed).p_value > 0 and not told(codes, mixed, of_mixed).untested


def test_the_same_seed_gives_the_same_figures():
    assert told(*cohort(shift=0.1), seed=3) == told(*cohort(shift=0.1), seed=3)
