from functools import cache
from types import SimpleNamespace

import pytest
import torch
from monai.data import load_net_with_metadata

from bundle.data.problems import InputProblems
from bundle.packaging.exported_forms import (
    RUNNERS,
    TOLERANCE,
    eager_outputs,
    largest_difference,
    probe_images,
    run_onnx,
    run_torch_export,
    run_torchscript,
    write_onnx,
    write_torch_export,
    write_torchscript,
)
from bundle.stages import export
from custom_nets import PaperFusionAutoencoder
from tests.packaging.file_contents import contents, machine_folders
from tests.small_networks import small_network

MODALITIES = ("T1w", "FA", "NDI")
GRID = (16, 16, 16)


NETWORKS = {
    "default": lambda: small_network(MODALITIES, GRID, n_cross_fits=2),
    "paper": lambda: PaperFusionAutoencoder(MODALITIES, GRID, [2, 4], separable_units=True),
}


def built(kind):
    """A network whose every weight matters, as after training."""
    torch.manual_seed(0)
    network, people = NETWORKS[kind]().eval(), 1 + torch.rand(8, len(MODALITIES), *GRID)
    network.fit_to_images(lambda: iter(people))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def without_a_modality(network):
    images = probe_images(network, batch=3)
    images[1, 2] = torch.nan
    return images


@pytest.mark.parametrize("broken", [0, 1])
def test_a_form_that_gives_nan_is_refused(tmp_path, monkeypatch, broken):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "inference.json").write_text("{}")
    network = built("default")
    outputs = list(eager_outputs(network, probe_images(network)))
    outputs[broken] = outputs[broken] * torch.nan
    monkeypatch.setitem(RUNNERS, "torchscript", lambda file, images: tuple(outputs))
    monkeypatch.setattr(export, "write_torchscript", lambda *given: None)
    facts = SimpleNamespace(network=network, stratifier=None)
    with pytest.raises(InputProblems, match=r"model.ts differs from the network by .*nan.*: leave out torchscript"):
        export._write_models(tmp_path, facts, ["torchscript"], {})


def test_forms_hold_no_path_of_the_sources_and_keep_their_values(tmp_path):
    pytest.importorskip("onnxscript", reason="needs the extra export")
    network = built("default")
    write_torchscript(network, tmp_path / "model.ts", {"version": "1"}, {})
    write_onnx(network, tmp_path / "model.onnx")
    write_torch_export(network, tmp_path / "model.pt2")
    images = probe_images(network)
    expected = eager_outputs(network, images)
    for file in sorted(tmp_path.iterdir()):
        content = contents(file)
        for folder in machine_folders():
            assert folder.encode() not in content, (file.name, folder)
        runner = {".ts": run_torchscript, ".onnx": run_onnx, ".pt2": run_torch_export}[file.suffix]
        assert max(largest_difference(runner(file, images), expected)) < TOLERANCE
    assert load_net_with_metadata(str(tmp_path / "model.ts"))[1]["version"] == "1"


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    pytest.importorskip("onnxscript", reason="needs the extra export")
    network = built("default")
    file = tmp_path_factory.mktemp("onnx") / "model.onnx"
    write_onnx(network, file)
    return network, file


@pytest.fixture(scope="module")
def torch_forms(tmp_path_factory):
    """Kind -> network, its TorchScript file and its torch.export file; written once."""

    @cache
    def forms(kind):
        network, folder = built(kind), tmp_path_factory.mktemp(kind)
        write_torchscript(network, folder / "model.ts", {"version": "1"}, {"inference.json": b"{}"})
        write_torch_export(network, folder / "model.pt2")
        return network, folder / "model.ts", folder / "model.pt2"

    return forms


@pytest.mark.parametrize("kind", NETWORKS)
def test_torch_forms_have_the_networks_values_at_any_batch_size(kind, torch_forms):
    network, scripted, exported = torch_forms(kind)
    for batch in (1, 3):
        images = probe_images(network, batch, seed=batch)
        expected = eager_outputs(network, images)
        assert max(largest_difference(run_torchscript(scripted, images), expected)) <= TOLERANCE
        assert max(largest_difference(run_torch_export(exported, images), expected)) <= TOLERANCE


def test_onnx_has_the_networks_values_at_any_batch_size(onnx_file):
    network, file = onnx_file
    for batch in (1, 3):
        images = probe_images(network, batch, seed=batch)
        assert max(largest_difference(run_onnx(file, images), eager_outputs(network, images))) <= TOLERANCE


def test_onnx_graph_has_standard_operators_only(onnx_file):
    import onnx

    model = onnx.load(onnx_file[1])
    assert {node.domain for node in model.graph.node} == {""} and not model.functions
    onnx.checker.check_model(model)


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_custom_depthwise_form_is_in_no_torch_graph(kind, torch_forms):
    _, script_file, export_file = torch_forms(kind)
    nodes = torch.export.load(export_file).graph.nodes
    calls = {str(node.target) for node in nodes if node.op == "call_function"}
    assert "aten.conv3d.default" in calls
    assert {name for name in calls if not name.startswith("aten.")} <= {"<built-in function getitem>"}
    scripted = torch.jit.load(str(script_file))
    assert "aten::conv3d" in str(scripted.forward.inlined_graph)
    assert all("PythonOp" not in str(method.inlined_graph) for method in (scripted.forward, scripted.encode))


@pytest.mark.parametrize("kind", NETWORKS)
def test_graph_gives_nan_to_a_participant_who_lacks_a_modality_and_to_nobody_else(kind, torch_forms):
    network, _, exported = torch_forms(kind)
    for output in run_torch_export(exported, without_a_modality(network)):
        assert output[1].isnan().all() and not output[[0, 2]].isnan().any()


def test_scripted_form_gives_nan_to_a_participant_who_lacks_a_modality_and_to_nobody_else(torch_forms):
    network, scripted, _ = torch_forms("default")
    for output in run_torchscript(scripted, without_a_modality(network)):
        assert output[1].isnan().all() and not output[[0, 2]].isnan().any()


def test_scripted_form_of_the_papers_network_refuses_a_participant_who_lacks_a_modality(torch_forms):
    network, scripted, _ = torch_forms("paper")
    with pytest.raises(torch.jit.Error, match="needs every modality"):
        run_torchscript(scripted, without_a_modality(network))


def test_onnx_gives_nan_to_a_participant_who_lacks_a_modality_and_to_nobody_else(onnx_file):
    network, file = onnx_file
    for output in run_onnx(file, without_a_modality(network)):
        assert output[1].isnan().all() and not output[[0, 2]].isnan().any()


def test_each_map_is_held_to_its_own_scale():
    codes, maps = torch.ones(1, 5), torch.ones(1, 2, 2, 2, 2)
    maps[:, 0] *= 1000
    wrong = maps.clone()
    wrong[:, 1] += 0.08
    assert largest_difference((codes, wrong), (codes, maps))[1] == pytest.approx(0.08)
    assert largest_difference((codes, maps), (codes, maps)) == (0, 0)
