"""A tiny synthetic cohort on disk, shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bundle.data.cohort_writer import write_cohort
from bundle.data.synthetic import CohortSettings

ROOT = Path(__file__).parent.parent
TINY = CohortSettings(n_subjects=24, spacing_mm=6.0, seed=3)
PATTERNS = {m: "{participant_id}/{participant_id}_" + m + ".nii.gz" for m in ("T1w", "FA", "NDI", "JAC")}


@pytest.fixture(scope="session", autouse=True)
def two_threads() -> None:
    torch.set_num_threads(2)


@pytest.fixture(scope="session")
def tiny_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 people on a grid of 32 x 32 x 24; read only."""
    folder = tmp_path_factory.mktemp("tiny") / "cohort"
    write_cohort(folder, TINY, num_workers=2)
    return folder


@pytest.fixture(autouse=True)
def from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Configs are read from the bundle root."""
    monkeypatch.chdir(ROOT)
