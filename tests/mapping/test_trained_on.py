import json

import pytest
import torch

from bundle.data.problems import InputProblems
from bundle.mapping.trained_on import check_jacobian


@pytest.fixture
def results(tmp_path):
    """Results folder of a network of NDI and JAC, with that mean JAC in the brain and 0 outside."""

    def make(mean_jacobian, modalities=("NDI", "JAC")):
        (tmp_path / "2_training").mkdir(exist_ok=True)
        brain = torch.zeros(4, 4, 4)
        brain[1:3] = 1
        images = torch.stack([0.4 * brain, mean_jacobian * brain])[: len(modalities)]
        text = json.dumps({"network": "X", "modalities": modalities})
        state = {"scaling.brain_mask": brain, "scaling.mean_image": images, "signature": torch.tensor(list(text.encode()), dtype=torch.uint8)}  # fmt: skip
        torch.save(state, tmp_path / "2_training" / "model.pt")
        return str(tmp_path)

    return make


def trained_on_cohort(tmp_path, source):
    (tmp_path / "1_prepared").mkdir(exist_ok=True)
    (tmp_path / "1_prepared" / "datalist.json").write_text(json.dumps({"dataset_dir": str(source)}))


@pytest.mark.parametrize(("mean", "right", "wrong"), [(1.04, "raw", "log"), (0.03, "log", "raw"), (0.8, "raw", "log")])
def test_determinants_of_the_other_kind_are_refused_with_the_option(results, mean, right, wrong):
    folder = results(mean)
    check_jacobian(folder, right, "excluded")
    with pytest.raises(InputProblems, match=f"trained on {right} determinants .*give --jacobian {right}"):
        check_jacobian(folder, wrong, "excluded")


def test_head_size_is_known_of_cohorts_that_are_on_record(results, tmp_path):
    folder = results(1.0)
    (tmp_path / "cohort.json").write_text("{}")
    trained_on_cohort(tmp_path, tmp_path)
    check_jacobian(folder, "raw", "excluded")
    with pytest.raises(InputProblems, match="give --jacobian_affine excluded"):
        check_jacobian(folder, "raw", "included")
    prepared = tmp_path / "datalist.json"
    prepared.write_text(json.dumps({"layout": "hcp"}))
    trained_on_cohort(tmp_path, prepared)
    with pytest.raises(InputProblems, match="2 to fix"):
        check_jacobian(folder, "log", "included")
    mapped = tmp_path / "0_mapped"
    (mapped / "cohort").mkdir(parents=True)
    (mapped / "work" / "a").mkdir(parents=True)
    sidecar = {"parameters": {"settings": {"jacobian_affine": "included"}}}
    (mapped / "work" / "a" / "maps.json").write_text(json.dumps(sidecar))
    trained_on_cohort(tmp_path, mapped / "cohort")
    with pytest.raises(InputProblems, match="give --jacobian_affine included"):
        check_jacobian(folder, "raw", "excluded")


def test_networks_without_jacobians_and_no_network_say_nothing(results, tmp_path):
    check_jacobian(results(1.0, ("NDI",)), "log", "excluded")
    check_jacobian(None, "log", "excluded")
    check_jacobian(str(tmp_path / "nowhere"), "log", "excluded")
