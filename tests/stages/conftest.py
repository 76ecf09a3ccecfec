"""What tests of stages share."""

import pytest

from tests.stages.fake_folds import FakeStages


@pytest.fixture
def stages(monkeypatch):
    fake = FakeStages()
    monkeypatch.setattr("bundle.folds.run.run_stage", fake)
    return fake
