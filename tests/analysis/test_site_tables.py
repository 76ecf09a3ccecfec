import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from bundle.analysis.site_tables import (
    ALL_SITES,
    association,
    compare_within_sites,
    covariates_by_site,
    factor_means,
    strata_by_site,
)

FACTORS = {"F1": "of strata", "F2": "of sites"}


def people(seed=0, n=240):
    """Strata that follow the site somewhat; a score that differs between strata, one that differs between sites only."""
    rng = np.random.default_rng(seed)
    families = np.arange(n) // 2
    site_of = rng.integers(0, 2, n // 2)[families]
    strata = 1 + (rng.random(n // 2) < 0.2 + 0.6 * site_of[::2])[families]
    scores = rng.standard_normal((n, 2))
    scores[:, 0] += 1.0 * strata
    scores[:, 1] += 1.5 * site_of
    return scores, strata, pd.Series(np.array(["A", "B"])[site_of], name="site"), families


def test_partitions_that_are_one_and_that_have_nothing_to_do_with_each_other():
    _, strata, sites, families = people()
    same = association(np.where(sites == "A", 1, 2), sites, families, 199)
    assert same.cramers_v > 0.999 and same.ami > 0.999 and same.p_value == 1 / 200
    rng = np.random.default_rng(1)
    p_values = [association(rng.integers(1, 4, 120)[families], sites, families, 99, seed).p_value for seed in range(20)]
    assert np.mean(np.array(p_values) <= 0.05) <= 0.2
    some = association(strata, sites, families, 199)
    assert 0.3 < some.cramers_v < 0.9 and some.p_value < 0.05
    assert association(np.ones(240, dtype=int), sites, families) is None


def test_strata_are_not_tested_against_sites_that_differ_in_family_sizes():
    sites = pd.Series(np.repeat(["A", "B"], 80), name="site")
    families = np.r_[np.arange(80) // 2, 100 + np.arange(80)]
    found = association(np.where(sites == "A", 1, 2), sites, families, 199)
    assert found.cramers_v > 0.999 and np.isnan(found.p_value)


def test_within_sites_only_what_strata_do_is_found():
    scores, strata, sites, families = people()
    found = compare_within_sites(scores, strata, sites, families, FACTORS, 5, 499, 0).set_index(["site", "factor"])
    assert set(found.index.get_level_values("site")) == {"A", "B", ALL_SITES}
    for site in ("A", "B", ALL_SITES):
        assert found.loc[(site, "F1"), "q"] <= 0.05 and found.loc[(site, "F2"), "q"] > 0.05
    assert found.loc[(ALL_SITES, "F1"), "n_people"] == 240


def test_q_is_over_sites_and_factors_and_over_factors_for_all_together():
    scores, strata, sites, families = people()
    found = compare_within_sites(scores, strata, sites, families, FACTORS, 5, 199, 0)
    for rows in (found["site"] == ALL_SITES, found["site"] != ALL_SITES):
        own = found[rows]
        assert np.allclose(own["q"], false_discovery_control(own["p"]))
    assert (found["site"] != ALL_SITES).sum() == 4


def test_sites_without_two_strata_are_not_compared():
    scores, strata, sites, families = people()
    only = np.where(sites == "A", 1, strata)
    found = compare_within_sites(scores, only, sites, families, FACTORS, 5, 99, 0)
    assert set(found["site"]) == {"B"}
    assert compare_within_sites(scores, np.where(sites == "A", 1, 2), sites, families, FACTORS, 5, 99, 0).empty


def test_counts_and_means_are_of_every_stratum_at_every_site():
    scores, strata, sites, families = people()
    sites.iloc[:2] = None
    counts = strata_by_site(strata, sites)
    assert counts["n_people"].sum() == 238 and np.allclose(counts.groupby("site")["share"].sum(), 1)
    means = factor_means(scores, strata, sites, families, FACTORS, 100, 0)
    assert len(means) == 2 * 2 * 2 and (means["low"] <= means["mean"]).all() and (means["mean"] <= means["high"]).all()
    own = means[means["factor"] == "F1"].set_index(["site", "stratum"])
    centred = scores[2:, 0] - scores[2:, 0].mean()
    cell = (sites[2:] == "A").to_numpy() & (strata[2:] == 1)
    assert np.isclose(own.loc[("A", 1), "mean"], centred[cell].mean()) and own.loc[("A", 1), "n_people"] == cell.sum()


def test_covariates_that_follow_the_site_are_named():
    _, _, sites, _ = people()
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "same": np.where(sites == "A", 20.0, 30.0),
            "other": rng.standard_normal(240),
            "coil": np.where(sites == "A", "x", "y"),
        }
    )
    share = covariates_by_site(table, sites).set_index("covariate")["share"]
    assert share["same"] > 0.999 and share["coil"] > 0.999 and share["other"] < 0.1


def test_missing_words_are_no_level_of_a_covariate():
    sites = pd.Series(["A"] * 4 + ["B"] * 4, name="site")
    covariates = pd.DataFrame(
        {
            "sex": ["F", "M", "F", "M", "F", "M", None, np.nan],
            "hand": ["left"] * 4 + ["right"] + [None] * 3,
            "gone": [None] * 8,
            "age": [1.0, 2, 1, 2, 1, 2, np.nan, np.nan],
        }
    )
    shares = covariates_by_site(covariates, sites).set_index("covariate")["share"]
    assert shares["sex"] == shares["age"] == 0 and np.isclose(shares["hand"], 1) and np.isnan(shares["gone"])
