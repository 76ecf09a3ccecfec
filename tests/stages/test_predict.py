import json

import numpy as np
import pandas as pd
import pytest
import torch

from bundle.data.embedding_table import EmbeddingTable
from bundle.data.problems import InputProblems
from bundle.data.tables import read_table, write_table
from bundle.stages.report import report
from bundle.trained.encoder_hash import encoder_hash_of
from tests.conftest import root_cause, run_stage

N = 80
NAMES = [f"sub-{number:02d}" for number in range(N)]
QUICK = {"n_folds": 5, "n_repeats": 2, "n_bootstrap": 100, "seed": 0}
WEIGHTS = {"encoder": torch.arange(4.0)}
ENCODER = encoder_hash_of(WEIGHTS)


@pytest.fixture
def results(tmp_path):
    """A results folder: 80 scans of 60 participants, embeddings that hold age, sex and what is private to a participant."""
    rng = np.random.default_rng(0)
    person = np.where(np.arange(N) < 60, np.arange(N), np.arange(N) - 60)
    age, is_man = (50 + 15 * rng.standard_normal(60))[person], (rng.permutation(60) % 2)[person]
    private = rng.standard_normal((60, 40))[person]
    embeddings = np.column_stack([private, (age - 50) / 5, 3.0 * is_man]) + 0.3 * rng.standard_normal((N, 42))
    people = pd.DataFrame(
        {
            "participant_id": NAMES,
            "family_id": [f"family {number // 2}" for number in person],
            "person_id": [f"participant {number}" for number in person],
            "age_years": age,
            "sex": np.where(is_man, "M", "F"),
            "head_size_ml": 1400 + 100 * is_man + 50 * rng.standard_normal(N),
        }
    )
    write_table(people, tmp_path / "participants.tsv")
    table = EmbeddingTable(
        np.array(NAMES),
        embeddings.astype(np.float32),
        np.full(N, 0.2),
        ENCODER,
        ("T1w",),
        np.ones((N, 1), bool),
        np.zeros((N, 0)),
    )
    table.write_arrays(tmp_path / "4_embeddings")
    table.write_text(tmp_path / "4_embeddings")
    (tmp_path / "2_training").mkdir()
    torch.save(WEIGHTS, tmp_path / "2_training" / "model.pt")
    sections = {"training": NAMES[:20] + NAMES[60:], "validation": NAMES[20:30], "test": NAMES[30:60]}
    datalist = {name: [{"participant_id": one} for one in people] for name, people in sections.items()}
    (tmp_path / "1_prepared").mkdir()
    (tmp_path / "1_prepared" / "datalist.json").write_text(json.dumps(datalist))
    write_table(pd.DataFrame(rng.standard_normal((N, 5))).assign(participant_id=NAMES), tmp_path / "noise.tsv")
    return tmp_path


def predict(results, **options):
    options = {"participants": str(results / "participants.tsv"), "cross_validation": QUICK} | options
    run_stage("predicting", results, **options)
    return read_table(results / "6_prediction" / "figures.tsv").set_index(
        ["target", "participants", "features", "figure"]
    )


def refused(results, **options):
    with pytest.raises(InputProblems) as caught:
        try:
            predict(results, **options)
        except RuntimeError as error:
            raise root_cause(error) from None
    assert not (results / "6_prediction").exists()
    return str(caught.value)


def test_age_and_sex_are_predicted_beside_other_features_on_the_same_participants(results):
    table = predict(
        results,
        also={"noise": str(results / "noise.tsv")},
        covariates=["head_size_ml"],
        regions=str(results / "noise.tsv"),
    )
    assert table.loc[("age_years", "held out", "embedding", "r2"), "low"] > 0.5
    assert table.loc[("sex", "held out", "embedding", "auc"), "low"] > 0.8
    assert table.loc[("age_years", "all", "noise", "r2"), "difference_low"] > 0.3
    assert table.loc[("sex", "all", "covariates", "auc"), "value"] > 0.7
    assert set(table["n_participants"].loc["age_years"].groupby("participants").first()) == {80, 30}
    predictions = read_table(results / "6_prediction" / "predictions.tsv", str)
    assert len(predictions) == 2 * 4 * N
    assert set(predictions.loc[predictions["held_out"] == "yes", "participant_id"]) == set(NAMES[30:60])
    assert set(predictions.loc[predictions["target"] == "sex", "predicted"]) == {"F", "M"}
    facts = json.loads((results / "6_prediction" / "summary.json").read_text())
    assert facts["features"] == {"embedding": 42, "noise": 5, "regions": 5, "covariates": 1}
    assert facts["n_held_out"] == 30 and any("never saw age_years or sex" in note for note in facts["notes"])
    assert (results / "6_prediction" / "predictions.png").stat().st_size > 10_000


def test_repeated_scans_are_told_apart_from_other_people(results):
    predict(results, also={"noise": str(results / "noise.tsv")}, targets=["sex"])
    table = read_table(results / "6_prediction" / "reliability.tsv").set_index(["features", "participants"])
    assert table.loc[("embedding", "all"), ["n_persons", "n_scans", "n_gallery"]].tolist() == [20, 40, 80]
    assert table.loc[("embedding", "all"), "identified"] == 1 and table.loc[("embedding", "all"), "image_icc_low"] > 0.8
    assert table.loc[("noise", "all"), "identified_high"] < 0.5 and table.loc[("noise", "all"), "image_icc"] < 0.4
    assert ("embedding", "held out") not in table.index  # no participant was scanned twice there


def test_text_and_arrays_of_an_embedding_give_the_same(results):
    arrays = predict(results, targets=["age_years"])
    text = predict(results, targets=["age_years"], embeddings=str(results / "4_embeddings" / "embeddings.tsv"))
    pd.testing.assert_frame_equal(arrays, text, rtol=1e-4)


def test_without_its_network_nobody_is_called_held_out(results):
    (results / "2_training" / "model.pt").unlink()
    table = predict(results, targets=["sex"])
    assert set(table.index.get_level_values("participants")) == {"all"}
    facts = json.loads((results / "6_prediction" / "summary.json").read_text())
    assert facts["n_held_out"] is None and any("not known who trained" in note for note in facts["notes"])


def test_who_lacks_features_or_a_target_is_left_out_of_all_and_named(results):
    people = read_table(results / "participants.tsv", str)
    people.loc[3, "age_years"] = np.nan
    write_table(people, results / "participants.tsv")
    write_table(read_table(results / "noise.tsv", str).iloc[2:], results / "noise.tsv")
    table = predict(results, regions=str(results / "noise.tsv"))
    assert set(table.loc[("age_years", "all"), "n_participants"]) == {77}
    assert set(table.loc[("sex", "all"), "n_participants"]) == {78}
    left_out = read_table(results / "6_prediction" / "left_out.tsv", str)
    assert left_out.to_numpy().tolist() == [
        [NAMES[0], "not in regions"],
        [NAMES[1], "not in regions"],
        [NAMES[3], "no age_years"],
    ]


def test_the_report_has_a_block_only_if_it_has_run(results):
    assert "Prediction from embeddings" not in report(str(results)).read_text()
    predict(results)
    page = report(str(results)).read_text()
    assert "Prediction from embeddings" in page and "never saw age_years or sex" in page
    assert "Repeated scans of one participant" in page


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"targets": ["agee"]}, "agee"),
        ({"targets": []}, "--targets"),
        ({"targets": ["family_id"]}, "family_id"),
        ({"covariates": ["sex"]}, "target and a covariate"),
        ({"covariates": ["motion"]}, "motion"),
        ({"also": {"embedding": "x.npz"}}, "another one"),
        ({"also": {"pca": "missing.npz"}}, "missing.npz"),
        ({"person": "who"}, "who"),
        ({"targets": ["person_id"]}, "join levels"),
        ({"cross_validation": QUICK | {"n_folds": 1}}, "n_folds"),
    ],
)
def test_what_cannot_be_predicted_is_refused_before_anything_is_written(results, options, words):
    assert words in refused(results, **options)


def test_a_target_among_the_features_is_refused(results):
    table = read_table(results / "noise.tsv", str).assign(age_years="1")
    write_table(table, results / "leaky.tsv")
    assert "age_years is a target and a column of regions" in refused(results, regions=str(results / "leaky.tsv"))


def test_scans_of_one_person_in_two_families_are_refused(results):
    people = read_table(results / "participants.tsv", str)
    people.loc[60, "family_id"] = "another"
    write_table(people, results / "participants.tsv")
    assert "scans of one participant" in refused(results)
