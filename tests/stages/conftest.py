"""What tests of stages share."""

import shutil
import zipfile

import numpy as np
import pytest

from bundle.packaging.run_facts import read_run
from tests.conftest import ROOT, TINY_NETWORK, run_stage
from tests.stages.fake_folds import FakeStages
from tests.stages.package import export
from tests.stages.test_cluster import QUICK, write
from tests.stages.test_cluster import cohort as coded_people


@pytest.fixture
def stages(monkeypatch):
    fake = FakeStages()
    monkeypatch.setattr("bundle.folds.run.run_stage", fake)
    return fake


@pytest.fixture(scope="session")
def finished(trained, tmp_path_factory):
    """A results folder with a trained and evaluated network and strata of its encoder (of embeddings that no participant has)."""
    output_dir = tmp_path_factory.mktemp("finished") / "output"
    shutil.copytree(trained, output_dir)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(ROOT)
        run_stage("evaluating", output_dir, num_workers=0)
        codes, participants, _ = coded_people(n=80)
        codes = codes @ np.random.default_rng(0).standard_normal(
            (codes.shape[1], TINY_NETWORK["embedding_size"])
        ).astype(np.float32)
        options = write(output_dir, codes, participants, encoder_hash=read_run(output_dir).encoder_hash)
        run_stage("clustering", **options, **QUICK, covariates=[])
    return output_dir


@pytest.fixture(scope="session")
def unpacked(finished, tmp_path_factory):
    """The unpacked package of it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(ROOT)
        archive = export(finished)
    folder = tmp_path_factory.mktemp("stranger")
    zipfile.ZipFile(archive).extractall(folder)
    return folder / "brainstrata"
