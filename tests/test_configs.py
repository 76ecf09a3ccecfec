import configparser
import json

import pytest
import yaml
from monai.bundle import ConfigParser

from custom_nets import PaperFusionAutoencoder, trainable_parameters
from tests.conftest import ROOT

STAGES = {
    "prepare": "preparing",
    "check": "checking",
    "map": "mapping",
    "train": "training",
    "evaluate": "evaluating",
    "inference": "embedding",
    "cluster": "clustering",
    "assign": "assigning",
    "phenotypes": "phenotyping",
    "predict": "predicting",
    "report": "reporting",
    "calibrate": "calibrating",
    "cross_validate": "cross_validating",
    "export": "exporting",
}


def parsed(stage):
    parser = ConfigParser()
    parser.read_config(ROOT / "configs" / f"{stage}.yaml")
    return parser


@pytest.mark.parametrize(("stage", "run_id"), STAGES.items())
def test_every_stage_has_its_run_id_and_the_alias_run(stage, run_id):
    config = parsed(stage).get()
    assert config["run"] in (f"%{run_id}", config[run_id])
    assert "initialize" in config and config["bundle_root"] == "."


@pytest.mark.parametrize("stage", STAGES)
def test_every_target_can_be_imported(stage):
    missing = []

    def walk(node):
        if isinstance(node, dict):
            target = node.get("_target_")
            if isinstance(target, str) and "." in target:
                from pydoc import locate

                if locate(target) is None:
                    missing.append(target)
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(parsed(stage).get())
    assert missing == []


@pytest.mark.parametrize(("part", "expected"), [("network_paper", 1_515_238), ("network_release", 3_851_398)])
def test_paper_presets_have_the_published_parameters(part, expected):
    parser = ConfigParser({"modalities": ["JAC", "NDI"], "spatial_size": [128, 128, 96]})
    parser["network"] = ConfigParser.load_config_file(ROOT / "configs" / "parts" / f"{part}.yaml")
    network = parser.get_parsed_content("network")
    assert isinstance(network, PaperFusionAutoencoder)
    assert trainable_parameters(network) == expected and network.embedding_size == 1536


def test_default_network_embeds_in_1536_values():
    parser = parsed("train")
    assert parser.get_parsed_content("network_def").embedding_size == 1536


def test_cross_validation_draws_the_cohort_that_training_draws():
    configs = [ConfigParser.load_config_file(ROOT / "configs" / f"{name}.yaml") for name in ("train", "cross_validate")]
    assert configs[0]["synthetic"] == configs[1]["synthetic"]


def test_no_yaml_number_is_read_as_text():
    def texts(node):
        if isinstance(node, dict):
            node = list(node.values())
        return [t for value in node for t in texts(value)] if isinstance(node, list) else [node]

    for file in (ROOT / "configs").rglob("*.yaml"):
        for value in texts(yaml.safe_load(file.read_text())):
            if isinstance(value, str):
                with pytest.raises(ValueError):
                    float(value)


def test_metadata_version_is_the_packages_and_in_its_changelog():
    metadata = json.loads((ROOT / "configs" / "metadata.json").read_text())
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert metadata["version"] == setup["metadata"]["version"]
    assert metadata["version"] in metadata["changelog"]
    assert f"## {metadata['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_metadata_names_every_package_that_is_installed_with_the_bundle():
    from packaging.requirements import Requirement

    metadata = json.loads((ROOT / "configs" / "metadata.json").read_text())
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    needed = {Requirement(line).name for line in setup["options"]["install_requires"].split()}
    assert set(metadata["required_packages_version"]) == needed - {"monai", "torch", "numpy"}


def test_metadata_describes_the_default_network():
    metadata = json.loads((ROOT / "configs" / "metadata.json").read_text())
    network = parsed("train").get_parsed_content("network_def")
    for tensor in (metadata["network_data_format"][side] for side in ("inputs", "outputs")):
        (facts,) = tensor.values()
        assert facts["num_channels"] == len(network.modalities)
        assert tuple(facts["spatial_shape"]) == network.spatial_size
        assert tuple(facts["channel_def"].values()) == network.modalities


def test_pins_lie_in_the_ranges_of_the_package():
    from packaging.requirements import Requirement

    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = "\n".join([setup["options"]["install_requires"], *setup["options.extras_require"].values()])
    pins = dict(
        line.lower().split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line and line[0] != "#"
    )
    for line in wanted.split():
        requirement = Requirement(line)
        assert requirement.specifier.contains(pins[requirement.name.lower()]), line
