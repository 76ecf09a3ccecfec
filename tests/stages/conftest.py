"""What tests of stages share."""

import shutil

import pytest

from tests.stages.fake_folds import FakeStages


@pytest.fixture
def cohort(tiny_cohort, tmp_path):
    """A copy to break."""
    copy = tmp_path / "cohort"
    shutil.copytree(tiny_cohort, copy, ignore=shutil.ignore_patterns("truth"))
    return copy


@pytest.fixture
def stages(monkeypatch):
    fake = FakeStages()
    monkeypatch.setattr("bundle.folds.run.run_stage", fake)
    return fake
