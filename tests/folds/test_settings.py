import json

import pytest
import yaml

from bundle.data.problems import InputProblems
from bundle.folds.settings import differences, fold_settings

SHARED = {"modalities": ["T1w", "JAC"], "spatial_size": [32, 32, 24], "seed": 5, "num_workers": 1}


def test_what_both_stages_know_goes_to_both_and_the_rest_to_training():
    settings = fold_settings({"max_epochs": 3, "amp": False, "network_def": "configs/parts/network_128.yaml"}, SHARED)
    training, evaluating = settings.overlays["training"], settings.overlays["evaluating"]
    assert training["max_epochs"] == 3 and "max_epochs" not in evaluating
    assert training["amp"] is False and evaluating["amp"] is False
    assert training["network_def"] == evaluating["network_def"] == "%configs/parts/network_128.yaml"
    assert training["seed"] == 5 and "seed" not in evaluating
    assert training["modalities"] == evaluating["modalities"] == ["T1w", "JAC"]


def test_everything_that_shapes_a_fold_is_recorded_defaults_too():
    made = fold_settings({"max_epochs": 3, "train::sampler::shuffle": False}, SHARED).made_with
    assert made["max_epochs"] == 3 and made["learning_rate"] == 0.01 and made["train::sampler::shuffle"] is False
    assert made["network_def"]["embedding_size"] == 1536 and made["spatial_size"] == [32, 32, 24]
    assert not {"output_dir", "num_workers", "progress", "resume", "train", "device"} & set(made)
    assert json.loads(json.dumps(made)) == made


def test_an_overlay_file_is_the_same_as_its_dictionary(tmp_path):
    wanted = {"max_epochs": 2, "modality_weights": None, "+train::handlers": [{"_target_": "a.Handler"}]}
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(wanted))
    assert fold_settings(str(file), SHARED) == fold_settings(wanted, SHARED)


@pytest.mark.parametrize("name", ["paper", "release"])
def test_the_papers_recipe_is_laid_over_folds_of_its_own_maps_alone(name):
    shared = SHARED | {"modalities": ["NDI", "JAC"]}
    settings = fold_settings(f"configs/overlay_{name}.yaml", shared)
    assert settings.made_with["learning_rate"] == 1e-3 and settings.made_with["batch_size"] == 1
    assert settings.overlays["evaluating"]["network_def"] == f"%configs/parts/network_{name}.yaml"
    assert "optimizer" in settings.overlays["training"]
    with pytest.raises(InputProblems):
        fold_settings(f"configs/overlay_{name}.yaml", SHARED)


def test_the_configs_own_files_are_left_as_they_are():
    once = fold_settings({"modality_weights": {"T1w": 9}}, SHARED).made_with
    assert once["modality_weights"] == {"T1w": 9}
    assert fold_settings(None, SHARED).made_with["modality_weights"] is None


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"max_epoch": 3}, "Unknown .*max_epoch: did you mean .*max_epochs"),
        ({"amp": "false"}, "with a capital"),
        ({"seed": 3}, "seed: give it to cross-validation itself: --seed"),
        ({"output_dir": "x"}, "output_dir: give it to cross-validation itself"),
        ({"resume": True}, "resume: every fold sets it itself"),
        ({"network_def": object()}, "MONAI built a object of it: give the name of its file without '%'"),
        ("nowhere.yaml", "No file nowhere.yaml: expected a config"),
        (["max_epochs", 3], r"Expected a config file or a dictionary, got \['max_epochs', 3\]"),
    ],
)
def test_what_training_would_not_understand_is_refused(training, message):
    with pytest.raises(InputProblems, match=message):
        fold_settings(training, SHARED)


def test_all_that_is_refused_comes_at_once():
    with pytest.raises(InputProblems) as caught:
        fold_settings({"max_epoch": 3, "seed": 3, "resume": True}, SHARED)
    assert len(caught.value.problems) == 3


def test_differences_name_both_values():
    assert differences({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == ["b: 2 then, 3 now", "c: None then, 4 now"]
