"""The paper's recipe as overlays: what they say is what is used."""

import shutil

import monai.bundle
import pandas as pd
import pytest
import torch
import yaml
from monai.bundle import ConfigParser

from bundle.data.problems import InputProblems
from bundle.engines.optimizer import AdamWithKernelPenalty
from bundle.running.command_line import check_command_line
from bundle.trained.weights import signature_of
from custom_nets import PaperFusionAutoencoder, trainable_parameters
from tests.conftest import ROOT, root_cause
from tests.stages.test_train import interrupt_at

OVERLAYS = {"paper": "configs/overlay_paper.yaml", "release": "configs/overlay_release.yaml"}


def parsed(overlay, **options):
    parser = ConfigParser()
    parser.read_config([str(ROOT / "configs" / "train.yaml"), str(ROOT / OVERLAYS[overlay])])
    parser.update(options)
    return parser


def train(cohort, output_dir, overlay="paper", more=None, **options):
    """As the command does, for two epochs on the tiny cohort with a narrow network of small kernels."""
    part = yaml.safe_load((ROOT / "configs" / "parts" / f"network_{overlay}.yaml").read_text())
    files = ["configs/train.yaml", OVERLAYS[overlay]]
    if more:
        output_dir.mkdir(parents=True, exist_ok=True)
        (output_dir / "more.yaml").write_text(yaml.safe_dump(more))
        files.append(str(output_dir / "more.yaml"))
    quick = {"max_epochs": 2, "spatial_size": [32, 32, 24], "progress": False, "num_workers": 1}
    quick["network_def"] = part | {"widths": [2, 4, 8], "kernel_size": [3, 4, 3]}
    places = {"dataset_dir": str(cohort), "output_dir": str(output_dir)}
    monai.bundle.run(run_id="training", config_file=files, **(places | quick | options))


@pytest.fixture(scope="module")
def trained(tiny_cohort, tmp_path_factory):
    """Overlay -> results folder of a short run; read only."""
    folder = tmp_path_factory.mktemp("recipe")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(ROOT)
        for overlay in OVERLAYS:
            train(tiny_cohort, folder / overlay, overlay)
    return {overlay: folder / overlay for overlay in OVERLAYS}


def checkpoint(output_dir):
    return torch.load(output_dir / "2_training" / "checkpoint.pt", weights_only=True)


@pytest.mark.parametrize(
    ("overlay", "grid", "parameters"),
    [("paper", [128, 128, 96], 1_515_238), ("release", [128, 128, 96], 3_851_398), ("paper", [64, 64, 48], 1_522_554)],
)
def test_its_networks_have_the_papers_parameters_and_embedding_on_every_grid(overlay, grid, parameters):
    network = parsed(overlay, spatial_size=grid).get_parsed_content("network_def")
    assert isinstance(network, PaperFusionAutoencoder) and network.skips == "unet"
    assert network.embedding_size == 1536 and trainable_parameters(network) == parameters


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_skips_are_one_option(overlay):
    with_skips = parsed(overlay).get_parsed_content("network_def")
    without = parsed(overlay, network_def=f"%configs/parts/network_{overlay}_no_skips.yaml")
    without.resolve_macro_and_relative_ids()
    network = without.get_parsed_content("network_def")
    own, other = (signature_of(one.state_dict()) for one in (network, with_skips))
    differing = {key for key, value in own.items() if other[key] != value}
    assert network.skips == "none" and differing == {"skips"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_command_with_an_overlay_is_taken_and_changes_only_what_it_names(overlay):
    files = f"['configs/train.yaml','{OVERLAYS[overlay]}']"
    check_command_line(["run", "training", "--config_file", files, "--spatial_size", "[128,128,96]"])
    parser = ConfigParser()
    parser.read_config(str(ROOT / "configs" / "train.yaml"))
    base, both = parser.get(), parsed(overlay).get()
    named = ConfigParser.load_config_file(ROOT / OVERLAYS[overlay])
    assert set(both) == set(base) and {key for key in base if both[key] != base[key]} <= set(named)
    assert len(both["train"]["handlers"]) == len(base["train"]["handlers"])


def test_both_overlays_say_the_same_but_for_the_network():
    paper, release = (parsed(name).get() for name in OVERLAYS)
    assert {key for key in paper if paper[key] != release[key]} <= {"network_def"} | set(
        ConfigParser.load_config_file(ROOT / OVERLAYS["release"])
    )
    for parser in (parsed("paper"), parsed("release")):
        parser.resolve_macro_and_relative_ids()
        settings = {key: parser[key] for key in ("max_epochs", "batch_size", "learning_rate", "loss", "mirroring")}
        assert settings == {"max_epochs": 200, "batch_size": 1, "learning_rate": 1e-3, "loss": "bce", "mirroring": 0}
        assert parser["gradient_norm"] is None and parser["modality_weights"] is None
        assert parser["optimizer"]["_target_"].endswith("AdamWithKernelPenalty")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_short_run_uses_what_the_overlay_says(trained, overlay):
    log = pd.read_csv(trained[overlay] / "2_training" / "log.tsv", sep="\t").set_index("epoch").loc[1:]
    assert (log["learning_rate"] == 1e-3).all() and log["loss"].iloc[1] < log["loss"].iloc[0]
    assert {"r2_NDI", "r2_JAC"} <= set(log)
    state = checkpoint(trained[overlay])
    assert state["settings"]["optimizer"] == "AdamWithKernelPenalty"
    assert state["settings"]["lr_scheduler"] == "ConstantLR"
    assert state["settings"]["gradient_norm"] is None and state["settings"]["batch_size"] == 1
    kernels, others = state["optimizer"]["param_groups"]
    assert kernels["weight_decay"] == pytest.approx(1e-4) and others["weight_decay"] == 0
    assert kernels["lr"] == 1e-3 and kernels["betas"] == (0.9, 0.999)


def test_resumed_training_with_adam_is_the_uninterrupted_one(trained, tiny_cohort, tmp_path):
    with pytest.raises(SystemExit):
        train(tiny_cohort, tmp_path, more=interrupt_at(epoch=2))
    train(tiny_cohort, tmp_path, resume=True)
    whole, resumed = checkpoint(trained["paper"]), checkpoint(tmp_path)
    exact = {} if not torch.cuda.is_available() else {"rtol": 0.05, "atol": 0.05}  # there sums are taken in any order
    torch.testing.assert_close(resumed["network"], whole["network"], **(exact or {"rtol": 0, "atol": 0}))
    moments = [{number: one["exp_avg"] for number, one in s["optimizer"]["state"].items()} for s in (whole, resumed)]
    torch.testing.assert_close(moments[1], moments[0], **(exact or {"rtol": 0, "atol": 0}))


def test_going_on_with_another_optimizer_setting_is_refused(trained, tiny_cohort, tmp_path):
    shutil.copytree(trained["paper"], tmp_path / "copy")
    with pytest.raises(InputProblems) as caught:
        try:
            train(tiny_cohort, tmp_path / "copy", resume=True, learning_rate=5e-3)
        except RuntimeError as error:
            raise root_cause(error) from None
    assert "learning_rate" in str(caught.value)


def test_the_penalty_is_the_gradient_of_a_sum_of_squares_of_kernels_alone():
    torch.manual_seed(0)
    networks = [torch.nn.Sequential(torch.nn.Conv3d(1, 2, 2), torch.nn.ELU()) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    penalised = AdamWithKernelPenalty(networks[0].parameters(), lr=0.1, penalty=0.3)
    plain = torch.optim.Adam(networks[1].parameters(), lr=0.1, eps=1e-7)
    images = torch.randn(2, 1, 4, 4, 4)
    for _ in range(3):
        for network, optimizer in zip(networks, (penalised, plain), strict=True):
            loss = network(images).square().mean()
            if optimizer is plain:
                loss = loss + 0.3 * network[0].weight.square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for one, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
