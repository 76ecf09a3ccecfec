import numpy as np
import pandas as pd
import pytest
import torch

from bundle.data.problems import InputProblems
from tests.conftest import TINY_NETWORK, causes, root_cause, run_stage


@pytest.fixture(scope="module")
def evaluated(trained):
    with pytest.MonkeyPatch.context() as monkeypatch:
        from tests.conftest import ROOT

        monkeypatch.chdir(ROOT)
        run_stage("evaluating", trained)
    return trained / "3_evaluation"


def test_summary_has_every_figure_for_every_modality(evaluated):
    summary = pd.read_csv(evaluated / "summary.tsv", sep="\t")
    assert list(summary["modality"]) == ["T1w", "FA", "NDI", "JAC"]
    figures = ["r2", "pca_r2", "pca_components", "r2_code_zeroed", "r2_code_mean", "r2_code_swapped"]
    figures += ["mse_mask", "mse_grid", "norm_diff", "cnr_ratio", "ssim", "identifiability"]
    finite = np.isfinite(summary.set_index("modality")[figures])
    assert not finite.loc["JAC", "cnr_ratio"]  # a Jacobian shows no tissue
    finite.loc["JAC", "cnr_ratio"] = True
    assert finite.to_numpy().all()
    assert (summary["r2_code_swapped"] < summary["r2"]).all()
    assert (summary["r2_code_mean"] < summary["r2"]).all()


def test_people_table_agrees_with_the_summary(evaluated):
    summary = pd.read_csv(evaluated / "summary.tsv", sep="\t").set_index("modality")
    people = pd.read_csv(evaluated / "people.tsv", sep="\t")
    assert people.groupby("modality").size().nunique() == 1
    for figure in ("mse_mask", "ssim", "norm_diff"):
        means = people.groupby("modality")[figure].mean()
        assert np.allclose(means[summary.index], summary[figure], rtol=1e-4)


def test_sums_of_squares_of_people_pool_to_the_r2_values_of_the_summary(evaluated):
    summary = pd.read_csv(evaluated / "summary.tsv", sep="\t").set_index("modality")
    people = pd.read_csv(evaluated / "people.tsv", sep="\t")
    sums = (
        people.groupby("modality")[["squared_error", "pca_squared_error", "squared_residual"]].sum().loc[summary.index]
    )
    assert np.allclose(1 - sums["squared_error"] / sums["squared_residual"], summary["r2"], atol=1e-5)
    assert np.allclose(1 - sums["pca_squared_error"] / sums["squared_residual"], summary["pca_r2"], atol=1e-5)
    assert np.allclose(1 - people["squared_error"] / people["squared_residual"], people["r2"], atol=1e-5)


def test_only_held_out_people_are_reported(evaluated, trained):
    import json

    sections = json.loads((trained / "1_prepared" / "datalist.json").read_text())
    people = set(pd.read_csv(evaluated / "people.tsv", sep="\t")["participant_id"])
    assert people == {item["participant_id"] for item in sections["test"]}


def test_no_bars_are_shown_if_none_are_wanted(trained, capsys):
    run_stage("evaluating", trained, progress=False)
    assert "%|" not in capsys.readouterr().err


def test_pictures_are_drawn(evaluated):
    for name in ("reconstruction_median.png", "reconstruction_worst.png"):
        assert (evaluated / name).read_bytes().startswith(b"\x89PNG")


def test_weights_of_another_architecture_are_refused(trained):
    with pytest.raises(
        InputProblems, match=r"model.pt does not fit \(embedding_size: 384 in the file, 96 in the configuration"
    ):
        try:
            run_stage("evaluating", trained, network_def=TINY_NETWORK | {"embedding_size": 96})
        except RuntimeError as error:
            raise root_cause(error) from None


def test_nothing_trained_is_said(tmp_path):
    with pytest.raises(InputProblems, match="run training first"):
        try:
            run_stage("evaluating", tmp_path)
        except RuntimeError as error:
            raise root_cause(error) from None


@pytest.mark.parametrize("changes", [{"modalities": ["FA", "T1w", "NDI", "JAC"]}, {"norm": "instance"}])
def test_weights_of_a_network_with_the_same_shapes_but_another_meaning_are_refused(trained, changes):
    options = {"modalities": changes["modalities"]} if "modalities" in changes else {}
    network = TINY_NETWORK | ({"norm": changes["norm"]} if "norm" in changes else {})
    with pytest.raises(InputProblems, match=f"{next(iter(changes))}: "):
        try:
            run_stage("evaluating", trained, network_def=network, **options)
        except RuntimeError as error:
            raise root_cause(error) from None


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 half an archive"])
def test_file_that_holds_no_weights_is_named(trained, tmp_path, content):
    (tmp_path / "broken.pt").write_bytes(content)
    assert "broken.pt cannot be read as weights" in refusal(trained, checkpoint=str(tmp_path / "broken.pt"))


def test_other_tensors_are_no_network(trained, tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pt")
    assert "holds no weights of this bundle's networks" in refusal(trained, checkpoint=str(tmp_path / "other.pt"))


def test_unknown_section_is_named_with_those_known(trained):
    assert "('training', 'validation', 'test'), got 'tets'" in refusal(trained, split="tets")


def refusal(output_dir, **options):
    with pytest.raises(InputProblems) as caught:
        try:
            run_stage("evaluating", output_dir, **options)
        except RuntimeError as error:
            raise next(cause for cause in causes(error) if isinstance(cause, InputProblems)) from None
    return str(caught.value)
