import json
import math

import pytest
import torch.nn.functional as F
from torch import nn

from bundle.data.problems import InputProblems
from bundle.packaging.fingerprint import KEY, NETWORKS, differs, fingerprints, problems_of, renew
from custom_nets.linear_embedding import LinearEmbedding
from tests.conftest import ROOT

CONFIGS = ROOT / "configs"


def stored():
    return json.loads((CONFIGS / "metadata.json").read_text())


@pytest.fixture(scope="module")
def found():
    return fingerprints(CONFIGS)


def test_no_network_has_changed_while_the_version_stayed(found):
    assert problems_of(stored(), found) == []


def test_every_network_part_is_watched():
    assert sorted(NETWORKS) == sorted(file.stem for file in (CONFIGS / "parts").glob("network*.yaml"))


def test_another_activation_and_another_width_are_refused_with_what_to_do(found, monkeypatch):
    monkeypatch.setattr(nn.ReLU, "forward", lambda self, value: F.gelu(value))
    (sentence,) = problems_of(stored(), fingerprints(CONFIGS, ["network"]))
    assert "configs/parts/network.yaml now builds another network" in sentence
    assert "raise the version" in sentence and "python -m bundle.packaging.fingerprint" in sentence
    (sentence,) = problems_of(
        stored(), found | {"network_paper": found["network_paper"] | {"structure": "000000000000"}}
    )
    assert "network_paper" in sentence


@pytest.mark.parametrize("method", ["forward", "embed_subset", "reconstruct"])
def test_another_way_to_embed_or_reconstruct_is_refused(monkeypatch, method):
    before = getattr(LinearEmbedding, method)
    monkeypatch.setattr(LinearEmbedding, method, lambda *given: 3 * before(*given))
    (sentence,) = problems_of(stored(), fingerprints(CONFIGS, ["network"]))
    assert sentence.startswith("configs/parts/network.yaml now builds another network")


@pytest.mark.parametrize("place", [0, 3, 5])
def test_a_network_that_gives_nan_differs(place):
    facts = {"structure": "0" * 12, "values": [1.0, 2.0, 3.0, 4.0] * 2}
    broken = facts | {"values": [math.nan if at == place else value for at, value in enumerate(facts["values"])]}
    assert not differs(facts, facts) and differs(broken, facts) and differs(facts, broken)


def test_a_raised_version_wants_new_fingerprints_and_gets_them_only_then(found, tmp_path, monkeypatch):
    changed = found | {"network": found["network"] | {"structure": "000000000000"}}
    monkeypatch.setattr("bundle.packaging.fingerprint.fingerprints", lambda configs: changed)
    file = tmp_path / "metadata.json"
    file.write_text(json.dumps(stored()))
    with pytest.raises(InputProblems, match="raise the version"):
        renew(file)
    assert json.loads(file.read_text()) == stored()
    metadata = stored() | {"version": "99.0.0"}
    assert "of version" in problems_of(metadata, changed)[0]
    file.write_text(json.dumps(metadata))
    renew(file)
    assert json.loads(file.read_text())[KEY] == {"version": "99.0.0", **changed}
