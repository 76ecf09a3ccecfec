import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml

from bundle.data.items import read_items
from bundle.data.problems import InputProblems
from tests.conftest import root_cause, run_stage
from tests.stages.test_cluster import QUICK, cohort, write

OPTIONS = {
    "tests": {"n_permutations": 999, "n_bootstrap": 200, "significance": 0.05, "least_members": 5, "seed": 0},
    "use_images": False,
    "num_workers": 1,
}
DOMAINS = {"anger": 1.2, "pressure": 0.0, "strength": 0.0, "sleep": 0.0}
"""Shift between neighbouring strata; strength follows sex."""


def items_of(participants, truth, seed=0):
    """Four items per domain, the first ones missing here and there."""
    rng = np.random.default_rng(seed)
    names = participants["participant_id"]
    is_male = (participants["sex"] == "M").to_numpy()
    table = {"participant_id": names}
    for domain, shift in DOMAINS.items():
        score = rng.standard_normal(len(names)) + shift * truth + 3 * is_male * (domain == "strength")
        for number in range(4):
            table[f"{domain}_{number}"] = (score + 0.5 * rng.standard_normal(len(names))).round(3)
    table = pd.DataFrame(table)
    table.loc[rng.random(len(table)) < 0.05, "sleep_0"] = np.nan
    table["school"] = rng.choice(["primary", "secondary"], len(table))
    return table


def dictionary_of(table):
    return {
        name: {"label": name.replace("_", " "), "demographic": name == "school"}
        for name in table
        if name != "participant_id"
    }


def write_items(folder, table, dictionary):
    table.to_csv(folder / "items.tsv", sep="\t", index=False, na_rep="n/a")
    (folder / "items.yaml").write_text(yaml.safe_dump(dictionary))
    return {"phenotypes": str(folder / "items.tsv"), "dictionary": str(folder / "items.yaml")}


def with_men_in_some_strata(participants, truth):
    """Sex that follows the strata, and embeddings' participants table with it."""
    rng = np.random.default_rng(5)
    return participants.assign(sex=np.where(rng.random(len(truth)) < 0.2 + 0.2 * truth, "M", "F"))


@pytest.fixture(scope="module")
def phenotyped(tmp_path_factory):
    """Results folder with strata and phenotypes, and the options."""
    from tests.conftest import ROOT

    folder = tmp_path_factory.mktemp("phenotyped")
    codes, participants, truth = cohort()
    participants = with_men_in_some_strata(participants, truth)
    options = write(folder, codes, participants)
    table = items_of(participants, truth)
    items = write_items(folder, table, dictionary_of(table))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(ROOT)
        run_stage("clustering", **options, **QUICK)
        run_stage("phenotyping", **options, **items, **OPTIONS)
    return folder, options | items


def read(folder, name):
    return pd.read_csv(folder / "6_phenotypes" / f"{name}.tsv", sep="\t")


def refused(**options):
    with pytest.raises(InputProblems) as caught:
        try:
            run_stage("phenotyping", **(OPTIONS | options))
        except RuntimeError as error:
            raise root_cause(error) from None
    return str(caught.value)


def test_planted_effects_are_found_and_effects_of_sex_go_with_adjustment(phenotyped):
    folder, _ = phenotyped
    tests = read(folder, "tests")
    factors = read(folder, "factors").set_index("factor")
    domain = {factor: name.split()[0] for factor, name in factors["name"].items()}
    assert set(domain.values()) == set(DOMAINS) and (factors["congruence"] > 0.9).all()
    found = tests.assign(domain=tests["factor"].map(domain)).pivot(index="domain", columns="version", values="found")
    assert found.loc["anger"].all()
    assert found.loc["strength", "raw"] and not found.loc["strength", "phenotype adjusted"]
    assert not found.loc["strength", "embedding and phenotype adjusted"]
    assert not found.loc[["pressure", "sleep"]].to_numpy().any()
    facts = json.loads((folder / "6_phenotypes" / "summary.json").read_text())
    assert facts["headline"].startswith("1 of 4 phenotype factors differ between 4 strata")
    assert facts["n_strata"]["adjusted"] == 4
    scores = read(folder, "scores")
    assert scores["stratum_adjusted"].nunique() == 4 and len(scores) == 160


def test_tables_hold_together(phenotyped):
    folder, _ = phenotyped
    flow, left_out, items = (read(folder, name) for name in ("flow", "left_out", "items"))
    assert flow["people"].tolist() == [160, 160, 160] and left_out.empty
    assert (items["state"] == "used").sum() == 16 and (items["state"] == "demographic").sum() == 1
    pairs, profile = read(folder, "pairs"), read(folder, "profile")
    own = profile[profile["version"] == "embedding and phenotype adjusted"]
    assert (own["low"] <= own["mean"]).all() and (own["mean"] <= own["high"]).all()
    weighted = (own["mean"] * own["n_people"]).groupby(own["factor"]).sum()
    assert np.abs(weighted).max() < 1e-3
    assert set(pairs["version"]) == {"raw", "phenotype adjusted", "embedding and phenotype adjusted"}
    assert (pairs["p_holm"] >= pairs["p"]).all()
    strata = read(folder, "strata_people")
    assert {"sex", "head_size_ml", "school"} <= set(strata["variable"]) and "family_id" not in set(strata["variable"])
    continuum = read(folder, "continuum")
    best = continuum[continuum["factor"] == continuum.loc[continuum["r2"].idxmax(), "factor"]]
    assert set(best["predictor"]) == {"strata", "components", "ridge"} and best["r2"].max() > 0.3
    covariates = read(folder, "code_covariates").set_index("covariate")["share"]
    assert covariates["head_size_ml"] > 0.05
    for picture in ("loadings", "profile", "continuum"):
        assert (folder / "6_phenotypes" / f"{picture}.png").stat().st_size > 5000


def test_strata_of_one_half_are_tested_on_the_other(phenotyped, tmp_path):
    folder, options = phenotyped
    (tmp_path / "5_clusters").symlink_to(folder / "5_clusters")
    (tmp_path / "4_embeddings").symlink_to(folder / "4_embeddings")
    run_stage("phenotyping", **(options | {"output_dir": tmp_path, "validation_share": 0.4}), **OPTIONS)
    own = read(tmp_path, "tests").query("version == 'validation'")
    facts = json.loads((tmp_path / "6_phenotypes" / "summary.json").read_text())
    assert any("tested on" in note for note in facts["notes"])
    assert own.loc[own["name"].str.startswith("anger"), "found"].all()
    assert not own.loc[own["name"].str.startswith("sleep"), "found"].any()
    assert (own["n_people"] < 100).all()


@pytest.mark.parametrize("seed", [3, 5])
def test_without_strata_the_continuum_is_shown(tmp_path, seed):
    codes, participants, _ = cohort(n_strata=1, seed=seed)
    options = write(tmp_path, codes, participants)
    table = items_of(participants, codes[:, 0] / codes[:, 0].std())
    items = write_items(tmp_path, table, dictionary_of(table))
    run_stage("clustering", **options, **QUICK)
    run_stage("phenotyping", **options, **items, **OPTIONS)
    # without covariates regressed out, the two sexes may be strata
    assert set(read(tmp_path, "tests")["version"]) <= {"raw", "phenotype adjusted"}
    facts = json.loads((tmp_path / "6_phenotypes" / "summary.json").read_text())
    assert facts["headline"].startswith("No discrete strata were found") and facts["least_detectable"] is None
    continuum = read(tmp_path, "continuum")
    adjusted = continuum[continuum["version"] == "embedding and phenotype adjusted"]
    assert "strata" not in set(adjusted["predictor"]) and adjusted["r2"].max() > 0.2
    assert not (tmp_path / "6_phenotypes" / "profile.png").exists()


def test_images_give_shares_maps_and_linear_fusion(tiny_cohort, trained, tmp_path):
    for name in ("1_prepared", "2_training"):
        (tmp_path / name).symlink_to(trained / name)
    run_stage("embedding", tmp_path, dataset_dir=str(tiny_cohort))
    quick = QUICK | {"participants": str(tiny_cohort / "participants.tsv"), "covariates": []}
    run_stage("clustering", tmp_path, **quick)
    # the tiny cohort has too few participants for strata to be found: say that there are two
    file = tmp_path / "5_clusters" / "strata.tsv"
    strata = pd.read_csv(file, sep="\t")
    strata["stratum"] = np.arange(len(strata)) % 2 + 1
    strata["is_exemplar"] = strata.index < 2
    strata.to_csv(file, sep="\t", index=False)
    facts = json.loads((tmp_path / "5_clusters" / "summary.json").read_text())
    (tmp_path / "5_clusters" / "summary.json").write_text(json.dumps(facts | {"n_strata": 2}))
    run_stage("phenotyping", tmp_path, covariates=[], kinship=None, n_explained=6, **(OPTIONS | {"use_images": True}))
    assert "linear fusion" in set(read(tmp_path, "continuum")["predictor"])
    shares = read(tmp_path, "modality_share")
    assert set(shares["stratum"].astype(str)) == {"everybody", "1", "2"}
    assert np.allclose(shares.groupby("stratum")["share"].sum(), 1) and (shares["share"] >= 0).all()
    assert np.allclose(read(tmp_path, "dimension_share").groupby("dimension")["share"].sum(), 1)
    facts = json.loads((tmp_path / "6_phenotypes" / "summary.json").read_text())
    assert facts["primary"] == "raw" and set(read(tmp_path, "tests")["version"]) == {"raw"}
    maps = sorted(path.name for path in (tmp_path / "6_phenotypes" / "maps").glob("*.nii.gz"))
    assert maps == sorted(f"stratum_{k}_{m}.nii.gz" for k in (1, 2) for m in ("T1w", "FA", "NDI", "JAC"))
    one = nib.load(tmp_path / "6_phenotypes" / "maps" / maps[0])
    original = nib.load(tiny_cohort / "sub-0001" / "sub-0001_T1w.nii.gz")
    assert one.shape == original.shape and np.allclose(one.affine, original.affine)
    assert np.abs(one.get_fdata()).max() > 0
    assert (tmp_path / "6_phenotypes" / "maps.png").stat().st_size > 5000
    # without images, nothing of before is left that a report would show
    run_stage("phenotyping", tmp_path, covariates=[], kinship=None, **OPTIONS)
    for name in ("modality_share.tsv", "dimension_share.tsv", "maps.png", "maps/stratum_1_FA.nii.gz"):
        assert not (tmp_path / "6_phenotypes" / name).exists()


def test_one_page_tells_what_the_stages_found(phenotyped):
    folder, _ = phenotyped
    run_stage("reporting", folder)
    page = (folder / "7_report" / "report.html").read_text()
    tests = read(folder, "tests").query("version == 'embedding and phenotype adjusted'").set_index("factor")
    n_strata = pd.read_csv(folder / "5_clusters" / "strata.tsv", sep="\t")["stratum"].nunique()
    assert f"{tests['found'].sum()} of {len(DOMAINS)} phenotype factors differ between {n_strata} strata" in page
    assert all(f"{value:.3f}" in page for value in tests["epsilon_squared"])
    strata = folder / "5_clusters" / "strata.tsv"
    before = strata.read_bytes()
    strata.write_bytes(before + b"\n")
    try:
        with pytest.raises(InputProblems, match="other strata than"):
            try:
                run_stage("reporting", folder)
            except RuntimeError as error:
                raise root_cause(error) from None
    finally:
        strata.write_bytes(before)


def test_settings_out_of_range_are_refused(phenotyped):
    _, options = phenotyped
    for changed, message in (
        ({"tests": {"n_permutations": 0}}, "n_permutations: expected 19 or more"),
        ({"tests": {"significance": 5}}, "significance: expected a value between"),
        ({"factors": {"most_missing_item": 3}}, "most_missing_item: expected a share"),
        ({"factors": {"n_factors": 0}}, "n_factors: expected 1 or more"),
        ({"n_folds": 1}, "n_folds: expected 2"),
        ({"n_explained": 0}, "n_explained: expected 2"),
        ({"validation_share": 1}, "validation_share: expected 0 to 0.9"),
    ):
        assert message in refused(**options, **changed)


def test_words_that_nearly_everybody_has_alone_are_not_listed(phenotyped, tmp_path):
    folder, options = phenotyped
    people = pd.read_csv(folder / "participants.tsv", sep="\t")
    people.assign(mother=people["participant_id"]).to_csv(tmp_path / "people.tsv", sep="\t", index=False)
    for name in ("4_embeddings", "5_clusters"):
        (tmp_path / name).symlink_to(folder / name)
    changed = {"output_dir": tmp_path, "participants": str(tmp_path / "people.tsv")}
    run_stage("phenotyping", **(options | changed), **OPTIONS)
    assert "mother" not in set(read(tmp_path, "strata_people")["variable"])
    facts = json.loads((tmp_path / "6_phenotypes" / "summary.json").read_text())
    assert any("mother" in note for note in facts["notes"])


def test_bad_items_are_named_with_the_mend(phenotyped, tmp_path):
    folder, options = phenotyped
    table = pd.read_csv(folder / "items.tsv", sep="\t")
    dictionary = dictionary_of(table)

    def with_table(changed, **others):
        return refused(**(options | write_items(tmp_path, changed, dictionary | others)))

    assert "mood: in the dictionary but no column" in with_table(table, mood={})
    words = table.astype({"anger_0": object})
    words.loc[3, "anger_0"] = "often"
    assert "anger_0: 1 values are no numbers, such as sub-003 'often'" in with_table(words)
    assert "direction must be 1 or -1" in with_table(table, anger_0={"direction": 2})
    assert "scale must be one of" in with_table(table, anger_0={"scale": "words"})
    assert "expected label, direction" in with_table(table, anger_0={"kind": 1})
    twice = pd.concat([table, table.iloc[:1]])
    assert "sub-000: stands in 2 rows" in with_table(twice)
    (tmp_path / "commas.csv").write_text("participant_id,a,b\nx,1,5,2,7\n")
    assert "as many fields" in refused(**(options | {"phenotypes": str(tmp_path / "commas.csv")}))
    strangers = table.assign(participant_id=[f"x{number}" for number in range(len(table))])
    assert "make the ids the same" in with_table(strangers)
    assert "has no column 'id'" in refused(**options, id_column="id")
    assert "No nowhere.tsv" in refused(**(options | {"phenotypes": "nowhere.tsv"}))
    few = {name: facts for name, facts in dictionary.items() if name in ("anger_0", "anger_1")}
    message = refused(**(options | write_items(tmp_path, table, few)))
    assert "2 usable items; factors need 3" in message
    message = refused(**options, factors={"n_factors": 40})
    assert "Expected 1 to 16 factors, got 40" in message
    assert "unexpected keyword" in refused(**options, factors={"n_factor": 4})


def test_odd_items_and_people_without_are_said(phenotyped, tmp_path):
    folder, options = phenotyped
    table = pd.read_csv(folder / "items.tsv", sep="\t")
    table["anger_0"] = 3
    table["anger_2"] = table["anger_1"]
    table.loc[100:139, "strength_1"] = -999
    table["sleep_1"] = np.nan
    table.loc[:39, "sleep_2"] = np.nan
    table.loc[0, [name for name in table if name[-1].isdigit()]] = np.nan
    dictionary = dictionary_of(table)
    dictionary["strength_1"]["direction"] = -1
    items = write_items(tmp_path, table.iloc[:-2], dictionary)
    for name in ("4_embeddings", "5_clusters"):
        (tmp_path / name).symlink_to(folder / name)
    run_stage("phenotyping", **(options | items | {"output_dir": tmp_path}), **OPTIONS)
    written = read(tmp_path, "items").set_index("item")
    assert written.loc["anger_0", "reason"] == "the same for all participants"
    assert written.loc["sleep_1", "reason"] == "no participant has a value"
    assert "more than 10%" in written.loc["sleep_2", "reason"]
    assert read(tmp_path, "flow")["people"].tolist() == [160, 158, 157]
    left_out = read(tmp_path, "left_out").set_index("participant_id")["reason"]
    assert "items are missing" in left_out["sub-000"] and left_out["sub-159"] == "no row in the items table"
    notes = json.loads((tmp_path / "6_phenotypes" / "summary.json").read_text())["notes"]
    assert "3 of 160 participants with an embedding have no phenotypes or too few, and are in no test." in notes
    assert any(note.startswith("anger_2: the same numbers as an item before it") for note in notes)
    assert any(note.startswith("strength_1: 40 participants have -999, all others") for note in notes)


def test_bad_families_and_strata_are_refused(phenotyped, tmp_path):
    folder, options = phenotyped
    people = pd.read_csv(folder / "participants.tsv", sep="\t")
    people.assign(family_id="all", family_size=len(people)).to_csv(tmp_path / "one.tsv", sep="\t", index=False)
    assert "160 participants of 1 families" in refused(**(options | {"participants": str(tmp_path / "one.tsv")}))
    people.assign(role=people["participant_id"]).to_csv(tmp_path / "roles.tsv", sep="\t", index=False)
    changed = options | {"participants": str(tmp_path / "roles.tsv"), "kinship": "role", "categories": ["sex", "role"]}
    assert "nothing can be exchanged" in refused(**changed)
    assert "run clustering first" in refused(
        **(options | {"output_dir": tmp_path, "embeddings": str(folder / "4_embeddings")})
    )
    assert "leave --covariates out" in refused(**options, covariates=["sex"])
    (tmp_path / "5_clusters").mkdir()
    facts = json.loads((folder / "5_clusters" / "summary.json").read_text())
    facts["encoders"][0]["encoder_hash"] = "bbbbbbbbbbbb"
    (tmp_path / "5_clusters" / "summary.json").write_text(json.dumps(facts))
    (tmp_path / "5_clusters" / "strata.tsv").write_bytes((folder / "5_clusters" / "strata.tsv").read_bytes())
    other = options | {"output_dir": tmp_path, "embeddings": str(folder / "4_embeddings")}
    assert "is of encoder bbbbbbbbbbbb" in refused(**other)


def test_strata_of_one_are_left_out_of_the_tests(phenotyped, tmp_path):
    folder, options = phenotyped
    for name in ("4_embeddings",):
        (tmp_path / name).symlink_to(folder / name)
    (tmp_path / "5_clusters").mkdir()
    for file in ("summary.json", "stratifier.npz"):
        (tmp_path / "5_clusters" / file).write_bytes((folder / "5_clusters" / file).read_bytes())
    strata = pd.read_csv(folder / "5_clusters" / "strata.tsv", sep="\t")
    strata.loc[0, "stratum"] = 5
    strata.to_csv(tmp_path / "5_clusters" / "strata.tsv", sep="\t", index=False)
    run_stage("phenotyping", **(options | {"output_dir": tmp_path}), **OPTIONS)
    facts = json.loads((tmp_path / "6_phenotypes" / "summary.json").read_text())
    assert any("stratum 5 has 1 participants and is left out" in note for note in facts["notes"])
    own = read(tmp_path, "tests").query("version == 'embedding and phenotype adjusted'")
    assert (own["n_strata"] == 4).all() and (own["n_people"] == 159).all()


def test_a_dictionary_turns_items_round_and_comma_tables_are_read(tmp_path):
    (tmp_path / "items.csv").write_text("Subject,calm,rank\na,1,2\nb,2,n/a\nc,3,1\n")
    table = read_items(tmp_path / "items.csv", {"calm": {"direction": -1}, "rank": {"scale": "ordinal"}}, "Subject")
    assert table.values["calm"].tolist() == [-1, -2, -3] and table.labels[0] == "calm reversed"
    assert table.is_ordinal == [False, True] and np.isnan(table.values.loc["b", "rank"])
    assert read_items(tmp_path / "items.csv", None, "Subject").labels == ["calm", "rank"]
