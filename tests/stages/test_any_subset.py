"""Training on participants who lack modalities, then evaluation and embedding from any subset."""

import json
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bundle.analysis.held_out_figures import LEAST_FOR_INTERVAL
from bundle.data.problems import InputProblems
from tests.conftest import PATTERNS, ROOT, TINY_NETWORK, root_cause, run_stage, train

NEEDS_ALL = {
    "_target_": "custom_nets.PaperFusionAutoencoder",
    "modalities": "@modalities",
    "spatial_size": "@spatial_size",
    "widths": [4, 8, 32],
    "kernel_size": [3, 3, 3],
    "scaling": "residual",
}
MODALITIES = ("T1w", "FA", "NDI", "JAC")


def path_of(cohort, name, modality):
    return cohort / PATTERNS[modality].format(participant_id=name)


@pytest.fixture(scope="module")
def incomplete(tiny_cohort, tmp_path_factory):
    """The tiny cohort, where every third participant lacks a map."""
    cohort = tmp_path_factory.mktemp("incomplete") / "cohort"
    shutil.copytree(tiny_cohort, cohort, ignore=shutil.ignore_patterns("truth"))
    names = pd.read_csv(cohort / "participants.tsv", sep="\t")["participant_id"]
    for number, name in enumerate(names[::3]):
        path_of(cohort, name, MODALITIES[number % 4]).unlink()
    return cohort


@pytest.fixture(scope="module")
def results(incomplete, tmp_path_factory):
    """Trained on the incomplete cohort, evaluated, all participants embedded."""
    output_dir = tmp_path_factory.mktemp("any_subset") / "output"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(ROOT)
        train(incomplete, output_dir, max_epochs=8, modality_dropout=0.5)
        run_stage("evaluating", output_dir, split="training")
        run_stage("embedding", output_dir, dataset_dir=str(incomplete))
    return output_dir


def refused(run):
    with pytest.raises(InputProblems) as caught:
        try:
            run()
        except RuntimeError as error:
            raise root_cause(error) from None
    return str(caught.value)


def test_every_subset_is_evaluated_for_every_map(results):
    table = pd.read_csv(results / "3_evaluation" / "subsets.tsv", sep="\t")
    assert len(table) == 15 * 4 and table["inputs"].nunique() == 15
    assert (
        table["given"] == [m in i.split("+") for i, m in zip(table["inputs"], table["modality"], strict=True)]
    ).all()
    training = json.loads((results / "1_prepared" / "datalist.json").read_text())["training"]
    families = {item["family_id"] for item in training if set(MODALITIES) <= set(item)}
    assert np.isfinite(table["r2"]).all() and (table["low"].isna() == (len(families) < LEAST_FOR_INTERVAL)).all()
    assert (results / "3_evaluation" / "subsets.png").stat().st_size > 10_000


def test_all_maps_in_the_subset_table_are_the_summary(results):
    table = pd.read_csv(results / "3_evaluation" / "subsets.tsv", sep="\t")
    summary = pd.read_csv(results / "3_evaluation" / "summary.tsv", sep="\t")
    everything = table[table["inputs"] == "T1w+FA+NDI+JAC"].set_index("modality")["r2"]
    np.testing.assert_allclose(everything[summary["modality"]], summary["r2"], atol=0.01)


def test_pca_baseline_is_fitted_on_everybody_who_has_a_map(results):
    training = json.loads((results / "1_prepared" / "datalist.json").read_text())["training"]
    summary = pd.read_csv(results / "3_evaluation" / "summary.tsv", sep="\t").set_index("modality")
    for modality in MODALITIES:
        assert summary.loc[modality, "pca_people"] == sum(modality in item for item in training)
    assert summary["pca_people"].min() > sum(set(MODALITIES) <= set(item) for item in training)


def test_fewer_maps_leave_the_code_less_certain(results):
    table = pd.read_csv(results / "3_evaluation" / "subsets.tsv", sep="\t").drop_duplicates("inputs")
    uncertainty = table.set_index("inputs")["uncertainty"]
    assert uncertainty["T1w"] > uncertainty["T1w+FA"] > uncertainty["T1w+FA+NDI+JAC"]


def test_embeddings_say_what_they_were_made_from_and_how_certain_they_are(results, incomplete):
    with np.load(results / "4_embeddings" / "embeddings.npz") as content:
        present, codes, uncertainty = content["present"], content["embeddings"], content["uncertainty"]
        names = content["participant_id"]
    expected = [[path_of(incomplete, name, m).is_file() for m in MODALITIES] for name in names]
    assert present.tolist() == expected and not present.all()
    assert codes.shape == uncertainty.shape == (24, TINY_NETWORK["embedding_size"]) and np.isfinite(codes).all()
    assert ((uncertainty >= 0) & np.isfinite(uncertainty)).all()
    assert ((uncertainty == 0).all(axis=1) == present.all(axis=1)).all()
    table = pd.read_csv(results / "4_embeddings" / "embeddings.tsv", sep="\t")
    assert table["inputs"][0] == "FA+NDI+JAC"
    np.testing.assert_allclose(table["uncertainty"], uncertainty.mean(axis=1), rtol=1e-4)


def test_one_person_from_one_map_gets_every_map_back(results, incomplete, tmp_path):
    copy = tmp_path / "output"
    shutil.copytree(results, copy, ignore=shutil.ignore_patterns("4_embeddings"))
    path = path_of(incomplete, "sub-0002", "JAC")
    run_stage("embedding", copy, files={"JAC": str(path)}, participant_id="new", write_reconstructions=True)
    drawn = sorted((copy / "4_embeddings" / "reconstructions" / "new").iterdir())
    assert len(drawn) == 4
    assert all(np.allclose(nib.load(file).affine, nib.load(path).affine) for file in drawn)


def test_everybody_is_embedded_from_the_same_maps_if_asked(results, incomplete, tmp_path):
    copy = tmp_path / "output"
    shutil.copytree(results, copy, ignore=shutil.ignore_patterns("4_embeddings"))
    options = {"given": ["T1w", "NDI"]}
    text = refused(lambda: run_stage("embedding", copy, dataset_dir=str(incomplete), **options))
    assert "sub-0001: no T1w, which --given asks of all participants" in text
    people = {"training": [{"participant_id": "a"} | {m: str(path_of(incomplete, "sub-0002", m)) for m in MODALITIES}]}
    (tmp_path / "people.json").write_text(json.dumps(people))
    run_stage("embedding", copy, dataset_dir=str(tmp_path / "people.json"), **options)
    two = {m: str(path_of(incomplete, "sub-0002", m)) for m in ("T1w", "NDI")}
    run_stage("embedding", copy, files=two, participant_id="b", **options | {"given": None})
    table = pd.read_csv(copy / "4_embeddings" / "embeddings.tsv", sep="\t")
    assert table["inputs"].tolist() == ["T1w+NDI", "T1w+NDI"]
    np.testing.assert_allclose(table.loc[0, "e0000":], table.loc[1, "e0000":].astype(float), rtol=1e-4, atol=1e-5)
    for given in ("T1w", ["T2w"], []):
        text = refused(
            lambda given=given: run_stage("embedding", copy, dataset_dir=str(incomplete), **options | {"given": given})
        )
        assert "--given: expected a list of some of T1w, FA, NDI, JAC" in text


def test_a_network_that_needs_everything_refuses_who_lacks_a_modality_by_name(incomplete, tmp_path):
    text = refused(lambda: train(incomplete, tmp_path / "output", network_def=NEEDS_ALL))
    assert "sub-0001: no T1w, and PaperFusionAutoencoder needs every modality" in text


def test_who_lacks_a_modality_is_named_in_the_log(incomplete, tmp_path, capfd):
    train(incomplete, tmp_path / "output", max_epochs=1)
    assert "Modalities that are missing: T1w of 2 (sub-0001, sub-0013); FA of 2 (" in capfd.readouterr().out


def test_a_datalist_may_leave_maps_out(incomplete, tmp_path):
    names = pd.read_csv(incomplete / "participants.tsv", sep="\t")["participant_id"]
    people = [
        {"participant_id": name, "family_id": name}
        | {m: str(path_of(incomplete, name, m)) for m in ("FA", "JAC") if path_of(incomplete, name, m).is_file()}
        for name in names
    ]
    file = tmp_path / "datalist.json"
    file.write_text(json.dumps({"training": people[:16], "validation": people[16:20], "test": people[20:]}))
    train(file, tmp_path / "output", max_epochs=1, modalities=["FA", "JAC"])
    log = pd.read_csv(tmp_path / "output" / "2_training" / "log.tsv", sep="\t")
    assert np.isfinite(log[["r2", "r2_FA", "r2_JAC"]].to_numpy()).all()
    assert np.isfinite(log.loc[log["epoch"] > 0, "loss"]).all()
