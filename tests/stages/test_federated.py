"""The federated job that docs/consumers.md shows, two sites with half of the tiny cohort each, from the unpacked package."""

import ast
import inspect
import re
import shutil
import textwrap
from importlib.util import find_spec

import pandas as pd
import pytest
import torch
from monai.fl.client import MonaiAlgo

from tests.conftest import PATTERNS, ROOT
from tests.stages.package import elsewhere

SITES = ("site-1", "site-2")
N_ROUNDS = 2

FLARE_IN_ONE_PROCESS = """
    '''What client.py needs of `nvflare.client`: a server that hands out weights and takes changes, for one site.'''
    import os
    from enum import Enum
    from types import SimpleNamespace
    import torch

    rounds = []
    params = torch.load(os.environ["START"], weights_only=True)

    class ParamsType(Enum):
        FULL = "FULL"
        DIFF = "DIFF"

    def FLModel(**facts):
        return SimpleNamespace(**facts)

    def init():
        pass

    def get_site_name():
        return "site-1"

    def is_running():
        return len(rounds) < 2

    def receive():
        return FLModel(params={name: value.clone() for name, value in params.items()})

    def send(model):
        rounds.append(model)
        assert model.params_type is ParamsType.DIFF and "signature" not in model.params
        for name, change in model.params.items():
            params[name] += change
        print("ROUND", len(rounds), model.metrics["R²"], model.meta["NUM_STEPS_CURRENT_ROUND"])
        torch.save({"model": params}, os.environ["END"])
"""

LOADED = """
    import sys
    root, file = sys.argv[1:]
    sys.path.insert(0, root)
    import torch
    from monai.bundle import load
    folder, name = root.rsplit("/", 1)
    facts = dict(bundle_dir=folder, workflow_type="inference", device="cpu")
    network, before = load(name, model_file=file, key_in_ckpt="model", **facts), load(name, **facts)
    state, old = network.state_dict(), before.state_dict()
    changed = {key for key in state if not torch.equal(state[key], old[key])}
    trained = dict(network.named_parameters())
    print("CHANGED", len(changed & set(trained)), "OF", len(trained), "OTHERS", sorted(changed - set(trained)))
    print("FINITE", all(bool(value.isfinite().all()) for value in trained.values()))
"""


def block(name):
    """An embedding block of the page, by the name in the comment before it."""
    page = (ROOT / "docs" / "consumers.md").read_text()
    return re.search(rf"<!-- {name} -->\n```python\n(.*?)```", page, flags=re.DOTALL)[1]


@pytest.fixture
def job(tiny_cohort, tmp_path):
    """A folder with the page's two scripts, and half of the tiny cohort for each site, whole families."""
    for name in ("client.py", "job.py"):
        (tmp_path / name).write_text(block(name))
    table = pd.read_csv(tiny_cohort / "participants.tsv", sep="\t", dtype=str)
    families = table["family_id"].unique()
    for number, site in enumerate(SITES):
        folder = tmp_path / "data" / site
        folder.mkdir(parents=True)
        own = table[table["family_id"].isin(families[number::2])]
        own.to_csv(folder / "participants.tsv", sep="\t", index=False)
        for person in own["participant_id"]:
            for pattern in PATTERNS.values():
                file = pattern.format(participant_id=person)
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(tiny_cohort / file, folder / file)
    return tmp_path


def check_loads(folder, unpacked, file):
    """The package loads the global weights by `monai.bundle.load`: all that is trained changed, nothing else did."""
    said = elsewhere(folder, "-c", textwrap.dedent(LOADED), unpacked, file)
    changed, trained = map(int, re.search(r"CHANGED (\d+) OF (\d+) OTHERS \[\]", said).groups())
    assert changed == trained > 20 and "FINITE True" in said


def test_client_of_the_page_calls_monai_as_it_is():
    calls = {
        node.func.id: {keyword.arg for keyword in node.keywords}
        for node in ast.walk(ast.parse(block("client.py")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert calls["MonaiAlgo"] <= set(inspect.signature(MonaiAlgo).parameters)
    assert {"params", "params_type", "metrics", "meta"} == calls["FLModel"]
    assert ast.parse(block("job.py"))


@pytest.mark.slow
def test_client_of_the_page_trains_two_rounds_with_a_server_of_one_site(job, unpacked):
    (job / "nvflare").mkdir()
    (job / "nvflare" / "__init__.py").write_text("")
    (job / "nvflare" / "client.py").write_text(textwrap.dedent(FLARE_IN_ONE_PROCESS))
    start, end = unpacked / "models" / "model.pt", job / "global.pt"
    words = ("client.py", unpacked, job / "data", job / "results", N_ROUNDS)
    said = elsewhere(job, *words, START=start, END=end)
    r2_values = [float(r2) for r2 in re.findall(r"ROUND \d (\S+)", said)]
    assert len(r2_values) == N_ROUNDS and max(r2_values) < 1
    check_loads(job, unpacked, end)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("nvflare") is None, reason="needs nvflare (pip install nvflare==2.9.0)")
def test_job_of_the_page_averages_two_sites_in_flares_simulator(job, unpacked):
    words = ("job.py", unpacked, job / "data", job / "results", N_ROUNDS)
    said = elsewhere(job, *words, PYTHONPATH=unpacked)
    assert "Round 1 started" in said
    result = job / "results" / "flare" / "brainstrata" / "server" / "simulate_job" / "app_server" / "FL_global_model.pt"
    check_loads(job, unpacked, result)
    state = torch.load(result, weights_only=True)["model"]
    start = torch.load(unpacked / "models" / "model.pt", weights_only=True)
    assert torch.equal(state["signature"].to(torch.uint8), start["signature"])
