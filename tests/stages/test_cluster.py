import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from bundle.data.embedding_table import EmbeddingTable, read_embedding_table
from bundle.data.problems import InputProblems
from tests.conftest import root_cause, run_stage

QUICK = {
    "n_references": 19,
    "n_stability": 8,
    "n_power": 2,
    "num_workers": 1,
    "progress": False,
    "clustering_def": {
        "standardise": False,
        "reduce": True,
        "choice": {"max_strata": 6, "n_folds": 5},
    },
}
N_PEOPLE = 160


def cohort(n_strata=4, seed=0, n=N_PEOPLE, first=0):
    """Embeddings, participants and true strata of synthetic participants; sex and head size move the embeddings, not the strata."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99)
    axes, effects = mixing.standard_normal((6, 48)), mixing.standard_normal((2, 48))
    centres = np.linalg.qr(mixing.standard_normal((4, 4)))[0] * 7 / np.sqrt(2)
    families = np.arange(n) // 2
    truth = families % n_strata
    latent = rng.standard_normal((n, 6))
    if n_strata > 1:
        latent[:, :4] += centres[truth]
    sex, head = rng.choice(["F", "M"], n), rng.normal(1500, 110, n).round()
    codes = latent @ axes + 0.3 * rng.standard_normal((n, 48))
    codes += np.outer(3.0 * (sex == "M"), effects[0]) + np.outer((head - 1500) / 30, effects[1])
    participants = pd.DataFrame(
        {
            "participant_id": [f"sub-{first + number:03d}" for number in range(n)],
            "family_id": [f"fam-{first}-{family}" for family in families],
            "sex": sex,
            "head_size_ml": head,
        }
    )
    return codes.astype(np.float32), participants, truth


def write(folder, codes, participants, encoder_hash="aaaaaaaaaaaa", errors=None, present=None):
    """A results folder with embeddings and a participants table; its options."""
    names = participants["participant_id"].to_numpy(dtype=str)
    errors = np.full(len(names), 0.3) if errors is None else errors
    present = np.ones((len(names), 2), bool) if present is None else present
    table = EmbeddingTable(names, codes, errors, encoder_hash, ("T1w", "FA"), present, np.zeros((len(names), 0)))
    table.write_arrays(folder / "4_embeddings")
    table.write_text(folder / "4_embeddings")
    participants.to_csv(folder / "participants.tsv", sep="\t", index=False)
    return {"output_dir": folder, "participants": str(folder / "participants.tsv")}


@pytest.fixture(scope="module")
def clustered(tmp_path_factory):
    """Results folder with strata, the options that made it, and the truth."""
    folder = tmp_path_factory.mktemp("clustered")
    codes, participants, truth = cohort()
    options = write(folder, codes, participants)
    with pytest.MonkeyPatch.context() as monkeypatch:
        from tests.conftest import ROOT

        monkeypatch.chdir(ROOT)
        run_stage("clustering", **options, **QUICK)
    return folder, options, truth


def read(folder, name):
    return pd.read_csv(folder / f"{name}.tsv", sep="\t")


def refused(run_id, **options):
    with pytest.raises(InputProblems) as caught:
        try:
            run_stage(run_id, **(QUICK if run_id == "clustering" else {}) | options)
        except RuntimeError as error:
            raise root_cause(error) from None
    return str(caught.value)


def test_strata_are_found_and_written_with_their_evidence(clustered):
    folder, _, truth = clustered
    people = read(folder / "5_clusters", "strata")
    assert adjusted_rand_score(truth, people["stratum"]) > 0.9
    summary = read(folder / "5_clusters", "strata_summary")
    assert summary["size"].sum() == N_PEOPLE and (summary["jaccard_low"] <= summary["jaccard"]).all()
    assert set(people.loc[people["is_exemplar"], "participant_id"]) == set(summary["exemplar"])
    facts = json.loads((folder / "5_clusters" / "summary.json").read_text())
    assert facts["n_strata"] == 4 and facts["headline"] == "4 strata (p = 0.05)"
    assert set(facts["covariates"]) == {"sex", "head_size_ml"}
    assert len(read(folder / "5_clusters", "null")) == 19
    gaps = read(folder / "5_clusters", "gaps")
    assert (gaps["depth"] > 0.3).all() and gaps[["cluster", "neighbour"]].isin(range(1, 5)).all(axis=None)
    assert facts["power"]["n_cohorts"] == 2 and not people["outlying"].any()
    for picture in ("choice", "people"):
        assert (folder / "5_clusters" / f"{picture}.png").stat().st_size > 5000


def test_stratifier_names_nobody(clustered):
    folder, _, _ = clustered
    with np.load(folder / "5_clusters" / "stratifier.npz") as content:
        text = " ".join(str(content[name]) for name in content.files if content[name].dtype.kind in "US")
        assert "sub-" not in text and "fam-" not in text
        assert not any(content[name].shape[:1] == (N_PEOPLE,) for name in content.files)


def test_assigning_the_same_people_gives_their_own_strata(clustered):
    folder, options, _ = clustered
    run_stage("assigning", **options)
    assigned = read(folder / "5_assigned", "assignments")
    own = read(folder / "5_clusters", "strata")
    assert assigned["stratum"].astype(str).tolist() == own["stratum"].astype(str).tolist()
    assert assigned["distance_percentile"].between(0, 100).all()
    assert (assigned["probability"] > 0.5).mean() > 0.95


def test_new_people_get_the_true_stratum(clustered, tmp_path):
    folder, _, truth = clustered
    codes, participants, new_truth = cohort(seed=1, n=60, first=500)
    options = write(tmp_path, codes, participants)
    run_stage("assigning", **options, stratifier=str(folder / "5_clusters" / "stratifier.npz"))
    assigned = read(tmp_path / "5_assigned", "assignments")
    strata = read(folder / "5_clusters", "strata")["stratum"]
    name_of = {group: strata[truth == group].mode()[0] for group in range(4)}
    known = assigned["stratum"] != "not assigned"
    right = assigned["nearest_stratum"] == [name_of[group] for group in new_truth]
    assert known.mean() > 0.9 and right[known].mean() > 0.95


def test_one_person_alone_is_assigned_as_in_a_group(clustered, tmp_path):
    folder, _, _ = clustered
    codes, participants, _ = cohort(seed=1, n=20, first=500)
    stratifier = str(folder / "5_clusters" / "stratifier.npz")
    run_stage("assigning", **write(tmp_path / "all", codes, participants), stratifier=stratifier)
    run_stage("assigning", **write(tmp_path / "one", codes[:1], participants[:1]), stratifier=stratifier)
    together = read(tmp_path / "all" / "5_assigned", "assignments").iloc[:1]
    alone = read(tmp_path / "one" / "5_assigned", "assignments")
    pd.testing.assert_frame_equal(together, alone, rtol=1e-4, check_dtype=False)


def test_people_unlike_all_others_are_not_assigned(clustered, tmp_path):
    folder, _, _ = clustered
    codes, participants, _ = cohort(seed=1, n=24, first=500)
    codes[0] += 40 * (codes[1] - codes[2])
    codes[3] += 30 * np.random.default_rng(0).standard_normal(48).astype(np.float32)
    errors = np.full(24, 0.3)
    errors[4] = 0.9
    options = write(tmp_path, codes, participants, errors=errors)
    run_stage("assigning", **options, stratifier=str(folder / "5_clusters" / "stratifier.npz"))
    assigned = read(tmp_path / "5_assigned", "assignments")
    assert (assigned["stratum"].iloc[[0, 3, 4]] == "not assigned").all()
    assert "farther from its stratum" in assigned["reason"][0]
    assert "an embedding unlike any" in assigned["reason"][3]
    assert "reconstructed worse" in assigned["reason"][4]


def test_people_of_other_maps_are_not_assigned(clustered, tmp_path):
    folder, _, _ = clustered
    codes, participants, _ = cohort(seed=1, n=24, first=500)
    present = np.ones((24, 2), bool)
    present[5, 1] = False
    options = write(tmp_path, codes, participants, present=present)
    run_stage("assigning", **options, stratifier=str(folder / "5_clusters" / "stratifier.npz"))
    assigned = read(tmp_path / "5_assigned", "assignments")
    assert assigned["stratum"][5] == "not assigned"
    assert assigned["reason"][5] == "an embedding made from T1w, where the strata were found on embeddings of T1w+FA"
    assert not assigned["reason"].drop(5).fillna("").str.contains("made from").any()


def test_no_strata_is_a_result_that_assignment_takes(tmp_path):
    codes, participants, _ = cohort(n_strata=1, seed=5)
    options = write(tmp_path, codes, participants)
    run_stage("clustering", **options, **QUICK)
    facts = json.loads((tmp_path / "5_clusters" / "summary.json").read_text())
    assert facts["n_strata"] == 1 and facts["headline"].startswith("no discrete strata found")
    assert set(read(tmp_path / "5_clusters", "strata")["stratum"]) == {1}
    run_stage("assigning", **options)
    assigned = read(tmp_path / "5_assigned", "assignments")
    assert (assigned["stratum"] == "no discrete strata").all()
    assert assigned[["nearest_stratum", "probability", "most_probable_stratum"]].isna().all(axis=None)
    assert assigned["distance"].notna().all()


def test_several_encoders_give_a_consensus(tmp_path):
    codes, participants, truth = cohort()
    rotation = np.linalg.qr(np.random.default_rng(3).standard_normal((48, 48)))[0]
    options = write(tmp_path / "a", codes, participants)
    shuffled = np.random.default_rng(0).permutation(N_PEOPLE)
    write(tmp_path / "b", (codes @ rotation).astype(np.float32)[shuffled], participants.iloc[shuffled], "bbbbbbbbbbbb")
    files = [str(tmp_path / name / "4_embeddings") for name in ("a", "b")]
    run_stage("clustering", **options, **QUICK, embeddings=files)
    people = read(tmp_path / "a" / "5_clusters", "strata")
    assert adjusted_rand_score(truth, people["consensus_stratum"]) > 0.9
    agreement = read(tmp_path / "a" / "5_clusters", "encoder_agreement")
    assert agreement["bbbbbbbbbbbb"][0] > 0.9 and agreement["encoder_hash"].tolist() == ["aaaaaaaaaaaa", "bbbbbbbbbbbb"]


@pytest.mark.parametrize("count", [1, 2, 19])
def test_too_few_people_are_refused(tmp_path, count):
    codes, participants, _ = cohort(n=count)
    text = refused("clustering", **write(tmp_path, codes, participants), covariates=[])
    assert "20 participants at least" in text and not (tmp_path / "5_clusters").exists()


def test_codes_that_are_alike_are_refused(tmp_path):
    codes, participants, _ = cohort()
    assert "tells no participant apart" in refused("clustering", **write(tmp_path, np.ones_like(codes), participants))
    codes[5] = codes[9]
    text = refused("clustering", **write(tmp_path, codes, participants))
    assert "sub-005 and sub-009 have the same embedding" in text


def test_values_that_are_not_finite_and_ids_twice_are_refused(tmp_path):
    codes, participants, _ = cohort()
    errors = np.full(len(codes), 0.3)
    errors[7] = np.nan
    twice = participants.copy()
    twice.loc[8, "participant_id"] = "sub-001"
    options = write(tmp_path, codes, twice, errors=errors)
    participants.to_csv(options["participants"], sep="\t", index=False)
    text = refused("clustering", **options)
    assert (
        "sub-007: the embedding or the reconstruction error is not finite" in text and "sub-001: stands 2 times" in text
    )


def test_missing_families_are_refused_or_said(tmp_path, capfd):
    codes, participants, _ = cohort()
    options = write(tmp_path, codes, participants)
    participants[:-2].to_csv(options["participants"], sep="\t", index=False)
    text = refused("clustering", **options)
    assert "sub-158: has an embedding but no row" in text
    assert "families and covariates are not known" in refused("clustering", output_dir=options["output_dir"])
    participants = participants.drop(columns="family_id")
    write(tmp_path, codes, participants)
    run_stage("clustering", **options, **QUICK)
    assert "every participant counts as unrelated" in capfd.readouterr().out


def test_codes_of_two_encoders_are_not_pooled(tmp_path):
    codes, participants, _ = cohort()
    options = write(tmp_path / "a", codes[:80], participants[:80])
    write(tmp_path / "b", codes[80:], participants[80:], "bbbbbbbbbbbb")
    files = [str(tmp_path / name / "4_embeddings") for name in ("a", "b")]
    text = refused("clustering", **options, embeddings=files)
    assert "different encoders live in different spaces" in text
    assert "give each encoder once" in refused("clustering", **options, embeddings=[files[0], files[0]])
    text = refused("clustering", **options, embeddings=["nowhere", files[0], "elsewhere"])
    assert "No nowhere" in text and "No elsewhere" in text


def test_stratifier_of_another_encoder_and_other_files_are_refused(clustered, tmp_path):
    folder, _, _ = clustered
    codes, participants, _ = cohort(n=20)
    options = write(tmp_path, codes, participants, "bbbbbbbbbbbb")
    stratifier = folder / "5_clusters" / "stratifier.npz"
    text = refused("assigning", **options, stratifier=str(stratifier))
    assert "encoder aaaaaaaaaaaa" in text and "encoder bbbbbbbbbbbb" in text
    assert "No " in refused("assigning", **options)
    broken = tmp_path / "broken.npz"
    broken.write_bytes(stratifier.read_bytes()[:2000])
    assert "is not a stratifier" in refused("assigning", **options, stratifier=str(broken))
    other = str(tmp_path / "4_embeddings" / "embeddings.npz")
    assert "is not a stratifier" in refused("assigning", **options, stratifier=other)


def test_covariates_that_cannot_be_used_are_refused(tmp_path):
    codes, participants, _ = cohort(n=40)
    options = write(tmp_path, codes, participants)
    assert "No column 'age'" in refused("clustering", **options, covariates=["age"])
    assert "--categories names 'Site'" in refused("clustering", **options, categories=["sex", "Site"])
    participants["age"] = ["30"] * 39 + ["thirty"]
    text = refused("clustering", **write(tmp_path, codes, participants))
    assert "age: most values are numbers, but not sub-039 'thirty'" in text
    participants = participants.drop(columns="age")
    options = write(tmp_path, codes, participants)
    assert "--covariates usual or a list" in refused("clustering", **options, covariates="sex")
    participants.loc[3, "sex"] = None
    options = write(tmp_path, codes, participants)
    assert "sub-003: no sex" in refused("clustering", **options, covariates=["sex"])


def test_new_people_whom_the_covariate_model_does_not_fit_are_not_assigned(clustered, tmp_path, capfd):
    folder, _, _ = clustered
    stratifier = str(folder / "5_clusters" / "stratifier.npz")
    codes, participants, _ = cohort(seed=1, n=24, first=500)
    participants.loc[0, "sex"], participants.loc[1, "sex"], participants.loc[2, "head_size_ml"] = None, "X", 4000
    run_stage("assigning", **write(tmp_path, codes, participants), stratifier=stratifier)
    assigned = read(tmp_path / "5_assigned", "assignments")
    assert (assigned["stratum"][:3] == "not assigned").all()
    assert "sex X is none of F, M" in assigned["reason"][1]
    assert "head_size_ml 4000 is outside" in assigned["reason"][2]
    assert "1 because: sex X is none of F, M" in capfd.readouterr().out
    text = refused("assigning", **write(tmp_path, codes, participants.drop(columns="sex")), stratifier=stratifier)
    assert "the participants table has no sex" in text


def test_settings_that_make_no_sense_are_refused(tmp_path):
    codes, participants, _ = cohort(n=40)
    options = write(tmp_path, codes, participants)
    assert "cannot give p" in refused("clustering", **options, n_references=5)
    definition = {"standardise": False, "reduce": True, "choice": {"preference": "high"}}
    assert "preference: expected null" in refused("clustering", **options, clustering_def=definition)


def test_no_convergence_and_codes_for_missing_covariates_are_said(tmp_path, capfd):
    codes, participants, _ = cohort(n=60)
    participants.loc[:5, "head_size_ml"] = 4999
    definition = {"standardise": False, "reduce": True, "choice": {"preference": "median", "max_iterations": 5}}
    run_stage("clustering", **write(tmp_path, codes, participants), **(QUICK | {"clustering_def": definition}))
    shown = capfd.readouterr().out
    assert "no number of clusters is stable" in shown
    assert "head_size_ml: 6 participants have 4999, all others" in shown
    assert not len(read(tmp_path / "5_clusters", "candidates"))


def test_embeddings_of_an_earlier_version_are_refused(tmp_path):
    file = tmp_path / "embeddings.npz"
    np.savez(file, participant_id=np.array(["a"]), embeddings=np.zeros((1, 3)), encoder_hash="x", modalities=["FA"])
    with pytest.raises(InputProblems, match=r"has no reconstruction_error, .*: an earlier version wrote it"):
        read_embedding_table(file)
