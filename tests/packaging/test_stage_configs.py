import json

import pytest
import yaml
from monai.bundle import ConfigParser

from bundle.packaging.stage_configs import STAGES, network_definition, self_contained
from custom_nets import PaperFusionAutoencoder
from tests.conftest import ROOT
from tests.small_networks import small_network

DEFAULT = small_network()
PAPER = PaperFusionAutoencoder(["T1w", "FA"], (32, 32, 32), [2, 4], dropout=0.0)


def signature(network):
    return json.loads(bytes(network.signature.tolist()).decode())


def written(stage, **settings):
    return self_contained(ROOT / "configs" / f"{stage}.yaml", ROOT, settings)


@pytest.mark.parametrize("stage", STAGES)
def test_content_is_what_monai_makes_of_the_stage_with_its_first_step_moved_into_the_runs(stage):
    found = yaml.safe_load(written(stage))
    parser = ConfigParser()
    parser.read_config(ROOT / "configs" / f"{stage}.yaml")
    parser.resolve_macro_and_relative_ids()
    expected = {key: value for key, value in parser.get().items() if key != "_meta_"}
    first = expected.pop("initialize")
    for key, value in expected.items():
        is_run = isinstance(value, list) and value and isinstance(value[0], dict) and "stages" in str(value[0])
        assert found[key] == (first + value if is_run else value), key
    assert set(found) == set(expected)


def test_comments_that_say_what_a_knob_means_stay():
    text = written("inference", batch_size=16, checkpoint="$@bundle_root + '/models/model.pt'")
    assert "participant_id: null     # with --files" in text
    assert "checkpoint: $@bundle_root + '/models/model.pt'         # weights file" in text
    assert yaml.safe_load(text)["batch_size"] == 16


def test_a_small_number_stays_a_number():
    assert yaml.safe_load(written("train", learning_rate=1e-5))["learning_rate"] == 1e-5


@pytest.mark.parametrize("network", [DEFAULT, PAPER], ids=["default", "paper"])
def test_network_is_built_again_from_its_signature(network):
    facts = signature(network)
    shared = {key: facts[key] for key in ("modalities", "spatial_size")}
    text = written("inference", network_def=network_definition(facts), **shared)
    parser = ConfigParser(yaml.safe_load(text))
    again = parser.get_parsed_content("network_def")
    assert type(again) is type(network) and signature(again) == facts
    again.load_state_dict(network.state_dict())


def test_a_key_that_nothing_refers_to_any_more_is_left_out(tmp_path):
    file = tmp_path / "stage.yaml"
    file.write_text('size: 3\nnetwork_def: {size: "@size"}\ninitialize:\n  - "$None"\nrunning:\n  - "$@network_def"\n')
    assert "size" in yaml.safe_load(self_contained(file, tmp_path, {}))
    assert "size" not in yaml.safe_load(self_contained(file, tmp_path, {"network_def": {"size": 4}}))
