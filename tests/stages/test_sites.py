"""Sites from clustering to the report: what is said, what is harmonised, who is refused."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from bundle.data.problems import InputProblems
from tests.conftest import ROOT, root_cause, run_stage
from tests.stages.test_cluster import N_PEOPLE, QUICK, cohort, read, write
from tests.stages.test_phenotypes import OPTIONS, dictionary_of, items_of, write_items

QUICKER = QUICK | {
    "clustering_def": {
        "standardise": False,
        "reduce": True,
        "choice": {"max_strata": 3, "n_folds": 5},
    }
}
SCANNERS = np.random.default_rng(7).standard_normal((3, 48))
"""Where each site moves embeddings of 48 values; the first one's participants also spread more."""


def at_sites(seed=0, n=N_PEOPLE, first=0, names=("A", "B"), n_strata=4, size=3.0):
    """Participants of `cohort` with strata of their own, scanned at sites by families; what the sites do to their embeddings."""
    codes, people, truth = cohort(n_strata, seed, n, first)
    rng = np.random.default_rng(seed + 50)
    known = ("A", "B", "C")
    site_of = rng.integers(0, len(names), n // 2)[np.arange(n) // 2]
    number = np.array([known.index(name) for name in names])[site_of]
    codes = codes * np.array([1.0, 1.15, 0.9])[number][:, None] + size * SCANNERS[number]
    people = people.assign(site=np.array(names)[site_of], age_years=rng.uniform(22, 36, n).round(1))
    return codes.astype(np.float32), people, truth


def only_sites(n=80):
    """Two scanners far apart, and nothing else that would group participants."""
    rng = np.random.default_rng(3)
    site_of = rng.integers(0, 2, n // 2)[np.arange(n) // 2]
    codes = rng.standard_normal((n, 6)) @ rng.standard_normal((6, 48)) + 0.3 * rng.standard_normal((n, 48))
    codes += 4 * np.outer(site_of, SCANNERS[0])
    _, people, _ = cohort(1, 0, n)
    return codes.astype(np.float32), people.assign(site=np.array(["A", "B"])[site_of])


def refused(run_id, **options):
    with pytest.raises(InputProblems) as caught:
        try:
            run_stage(run_id, **((QUICK if run_id == "clustering" else {}) | options))
        except RuntimeError as error:
            raise root_cause(error) from None
    return str(caught.value)


def facts_of(folder, stage="5_clusters"):
    return json.loads((folder / stage / "summary.json").read_text())


@pytest.fixture(scope="module")
def harmonised(tmp_path_factory):
    """Results folder of two sites, harmonised from clustering to the report; its options and the truth."""
    folder = tmp_path_factory.mktemp("harmonised")
    codes, people, truth = at_sites()
    options = write(folder, codes, people)
    table = items_of(people, truth)
    anger = [name for name in table if name.startswith("pressure")]
    table[anger] = table[anger].add(1.5 * (people["site"] == "B"), axis=0)
    items = write_items(folder, table, dictionary_of(table))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(ROOT)
        run_stage("clustering", **options, **QUICK, harmonise="combat")
        run_stage("phenotyping", **options, **items, **OPTIONS, harmonise="combat")
        run_stage("reporting", folder)
    return folder, options | items, truth


def test_sites_are_told_from_codes_and_not_from_harmonised_ones(harmonised):
    folder, _, truth = harmonised
    found = read(folder / "5_clusters", "site_prediction").set_index("codes")
    assert list(found.index) == ["as given", "covariates regressed out", "as clustered"]
    assert found.loc["as given", "accuracy"] > 0.9 and found.loc["as given", "p"] <= 0.01
    assert found.loc["as clustered", "low"] <= found.loc["as clustered", "chance"]
    assert np.isnan(found.loc["as clustered", "p"]) and found["p"].notna().sum() == 2
    facts = facts_of(folder)
    assert facts["site"]["harmonise"] == "combat"
    assert set(facts["site"]["kept"]) == {"age_years", "sex", "head_size_ml"}
    assert "site" not in facts["covariates"] and any(
        "No difference in mean or spread was left" in one for one in facts["site"]["words"]
    )
    strata = read(folder / "5_clusters", "strata")
    assert adjusted_rand_score(truth, strata["stratum"]) > 0.9
    assert read(folder / "5_clusters", "strata_sites")["n_people"].sum() == N_PEOPLE
    assert set(read(folder / "5_clusters", "sites")["site"]) == {"A", "B"}


def test_the_people_of_clustering_get_their_strata_back_and_nobody_is_in_the_file(harmonised):
    folder, options, _ = harmonised
    run_stage("assigning", options["output_dir"], participants=options["participants"])
    assigned = read(folder / "5_assigned", "assignments")
    assert (
        assigned["stratum"].astype(str).tolist()
        == read(folder / "5_clusters", "strata")["stratum"].astype(str).tolist()
    )
    with np.load(folder / "5_clusters" / "stratifier.npz", allow_pickle=False) as content:
        assert content["sites_shift"].shape[0] == 2
        assert not any(content[name].shape[:1] == (N_PEOPLE,) for name in content.files)


def test_new_people_of_a_known_site_get_the_true_stratum_alone_and_in_a_group(harmonised, tmp_path):
    folder, _, truth = harmonised
    codes, people, new_truth = at_sites(seed=1, n=60, first=500)
    stratifier = str(folder / "5_clusters" / "stratifier.npz")
    run_stage("assigning", **write(tmp_path / "all", codes, people), stratifier=stratifier)
    assigned = read(tmp_path / "all" / "5_assigned", "assignments")
    strata = read(folder / "5_clusters", "strata")["stratum"]
    name_of = {group: strata[truth == group].mode()[0] for group in range(4)}
    right = assigned["nearest_stratum"] == [name_of[group] for group in new_truth]
    assert right.mean() > 0.95 and (assigned["stratum"] != "not assigned").mean() > 0.8
    run_stage("assigning", **write(tmp_path / "one", codes[:1], people[:1]), stratifier=stratifier)
    alone = read(tmp_path / "one" / "5_assigned", "assignments")
    same = ["nearest_stratum", "probability", "distance", "distance_percentile"]
    pd.testing.assert_frame_equal(assigned.loc[:0, same], alone[same], rtol=1e-4)


def test_an_unseen_site_is_refused_unless_it_is_calibrated(harmonised, tmp_path):
    folder, _, truth = harmonised
    codes, people, new_truth = at_sites(seed=2, n=80, first=700, names=("C",))
    stratifier = str(folder / "5_clusters" / "stratifier.npz")
    options = write(tmp_path / "new", codes, people)
    text = refused("assigning", **options, stratifier=stratifier)
    assert "site C (80 participants) is none of A, B" in text and "Give --calibration" in text
    few = write(tmp_path / "few", codes[:9], people[:9])
    text = refused("assigning", **options, stratifier=stratifier, calibration=str(few["output_dir"] / "4_embeddings"))
    assert "site C: 9 participants to calibrate it with; 10 are needed" in text
    others = at_sites(seed=4, n=60, first=900, names=("C",))
    calibration = write(tmp_path / "calibration", others[0], others[1])
    run_stage(
        "assigning",
        **options,
        stratifier=stratifier,
        calibration=str(calibration["output_dir"] / "4_embeddings"),
        calibration_participants=calibration["participants"],
    )
    assigned = read(tmp_path / "new" / "5_assigned", "assignments")
    strata = read(folder / "5_clusters", "strata")["stratum"]
    name_of = {group: strata[truth == group].mode()[0] for group in range(4)}
    assert (assigned["nearest_stratum"] == [name_of[group] for group in new_truth]).mean() > 0.9


def test_a_person_without_a_site_is_not_assigned(harmonised, tmp_path):
    folder, _, _ = harmonised
    codes, people, _ = at_sites(seed=1, n=12, first=500)
    people.loc[0, "site"] = None
    options = write(tmp_path, codes, people)
    run_stage("assigning", **options, stratifier=str(folder / "5_clusters" / "stratifier.npz"))
    assigned = read(tmp_path / "5_assigned", "assignments")
    assert assigned["stratum"][0] == "not assigned" and "no site" in assigned["reason"][0]
    text = refused(
        "assigning",
        **write(tmp_path, codes, people.drop(columns="site")),
        stratifier=str(folder / "5_clusters" / "stratifier.npz"),
    )
    assert "the participants table has no site" in text


def test_factors_are_harmonised_and_told_by_site(harmonised):
    folder, _, _ = harmonised
    read_table = lambda name: pd.read_csv(folder / "6_phenotypes" / f"{name}.tsv", sep="\t")  # noqa: E731
    names = read_table("factors").set_index("factor")["name"].str.split().str[0]
    between = read_table("factors_sites").assign(domain=lambda table: table["factor"].map(names)).set_index("domain")
    assert between.loc["pressure", "q"] <= 0.05 and between.loc["sleep", "q"] > 0.05
    within = read_table("site_tests").assign(domain=lambda table: table["factor"].map(names))
    assert set(within["site"]) == {"A", "B", "all, within site"}
    assert (within.loc[within["domain"] == "anger", "q"] <= 0.05).all()
    assert (within.loc[within["domain"] == "pressure", "q"] > 0.05).all()
    assert set(read_table("site_means")["stratum"]) == {1, 2, 3, 4}
    scores, people = read_table("scores"), pd.read_csv(folder / "participants.tsv", sep="\t")
    pressure = names.index[names == "pressure"][0]
    by_site = scores.groupby(people["site"])[[pressure, f"{pressure}_adjusted"]].mean().diff().abs().iloc[-1]
    assert by_site[pressure] > 0.5 and by_site[f"{pressure}_adjusted"] < 0.1
    facts = facts_of(folder, "6_phenotypes")
    assert facts["site"]["harmonise"] == "combat" and "site (ComBat)" in facts["covariates"]


def test_the_page_tells_about_sites(harmonised):
    folder, _, _ = harmonised
    page = (folder / "7_report" / "report.html").read_text()
    for text in (
        "Can the site be told from the embedding?",
        "Strata against factors within sites",
        "Stratum, site and factor",
        "Embeddings were harmonised over site (2 sites) by ComBat",
    ):
        assert text in page


def test_strata_that_are_sites_are_called_so_and_vanish_when_harmonised(tmp_path, capfd):
    codes, people = only_sites()
    options = write(tmp_path, codes, people) | {"covariates": []}
    run_stage("clustering", **options, **QUICKER)
    strata = read(tmp_path / "5_clusters", "strata")["stratum"]
    assert adjusted_rand_score(people["site"], strata) > 0.95
    words = " ".join(facts_of(tmp_path)["site"]["words"])
    assert "Strata are sites by another name" in words and "--harmonise combat takes out" in words
    assert words.split(". ")[0] in capfd.readouterr().out
    run_stage("clustering", **options, **QUICKER, harmonise="combat")
    facts = facts_of(tmp_path)
    assert facts["n_strata"] == 1 and facts["site"]["strata"] is None
    # without the column, nothing of before is left
    run_stage("clustering", **options, **QUICKER, site="$None")
    assert facts_of(tmp_path)["site"] is None and not (tmp_path / "5_clusters" / "sites.tsv").exists()


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"harmonise": "neuro"}, "expected combat or null"),
        ({}, {"site": "scanner"}, "--site names 'scanner', the participants table has"),
        ({"site": "A"}, {"harmonise": "combat"}, "No two sites are known"),
        ({"site": ["A"] * 79 + ["C"] + ["B"] * 80}, {"harmonise": "combat"}, "site C: 1 participants of 1 family"),
        ({"site": ["A"] * 80 + [None] + ["B"] * 79}, {"harmonise": "combat", "covariates": []}, "sub-080: no site"),
        ({"site": ["A"] * 80 + ["B"] * 80, "family_id": ["F"] * 80 + [f"G{n}" for n in range(80)], "family_size": [80] * 80 + [1] * 80}, {"harmonise": "combat"}, "80 participants of 1 family"),
        ({"site": ["A"] * 80 + ["B"] * 80, "coil": ["x"] * 80 + ["y"] * 80}, {"harmonise": "combat", "covariates": ["coil"]}, "say the same"),
        ({"age_years": [None] + [30.0] * 100 + [31.0] * 59}, {"harmonise": "combat", "covariates": []}, "sub-000: no age_years, which harmonising must keep"),
    ],
)  # fmt: skip
def test_sites_that_cannot_be_harmonised_are_refused_with_the_mend(tmp_path, change, options, message):
    codes, people, _ = at_sites()
    assert message in refused("clustering", **write(tmp_path, codes, people.assign(**change)), **options)
    assert not (tmp_path / "5_clusters").exists()


def test_a_calibration_set_for_codes_that_are_not_harmonised_is_refused(tmp_path):
    codes, people, _ = at_sites(n=40)
    options = write(tmp_path, codes, people)
    run_stage("clustering", **options, **QUICKER, covariates=["sex"])
    text = refused("assigning", **options, calibration=str(tmp_path / "4_embeddings"))
    assert "not harmonised, so there is nothing to calibrate" in text
