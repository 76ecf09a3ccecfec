"""What is said of sites: the words, given participants whose sites and embeddings are known."""

import numpy as np
import pandas as pd

from bundle.analysis.sites import Sites
from bundle.sites.findings import look_at_sites


def said(codes, sites, families, strata):
    people = pd.DataFrame({"family_id": families, "site": sites}).astype(str)
    nothing = pd.DataFrame(index=people.index)
    found = look_at_sites(codes, people["site"], people, nothing, None, False, strata, 0)
    return found, " ".join(found.facts["words"])


def test_codes_that_sites_were_taken_out_of_have_an_interval_and_no_p():
    rng = np.random.default_rng(0)
    sites, families = np.repeat(["A", "B"], 80), np.arange(160) // 2
    codes = rng.standard_normal((160, 30)) + 3 * np.outer(sites == "B", rng.standard_normal(30))
    people = pd.DataFrame({"family_id": families, "site": sites}).astype(str)
    at = Sites(people["site"], people[[]])
    found = look_at_sites(codes, people["site"], people, people[[]], at, False, rng.integers(1, 3, 160), 0)
    table, words = found.tables["site_prediction"].set_index("codes"), " ".join(found.facts["words"])
    assert table.loc["as given", "p"] <= 0.01 and np.isnan(table.loc["as clustered", "p"])
    assert table.loc["as clustered", "low"] < 0.5
    assert "because sites were regressed out of these embeddings" in words
    assert "No difference in mean or spread was left to be seen" in words


def test_sites_of_other_family_sizes_are_never_said_to_be_hidden():
    rng = np.random.default_rng(0)
    sites = np.repeat(["A", "B"], 80)
    families = np.r_[np.arange(80) // 2, 100 + np.arange(80)]  # pairs at A, only children at B
    codes = rng.standard_normal((160, 30)) + 3 * np.outer(sites == "B", rng.standard_normal(30))
    found, words = said(codes, sites, families, np.where((sites == "A") ^ (rng.random(160) < 0.2), 1, 2))
    assert "cannot be told" not in words and "is told more often than by chance" in words
    assert "balanced accuracy 1.00" in words and "not tested by exchanging families" in words
    assert "How far strata follow sites was not tested" in words
    assert found.tables["site_prediction"]["p"].isna().all()
