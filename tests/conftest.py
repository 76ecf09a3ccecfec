"""A tiny synthetic cohort on disk, shared by all tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import monai.bundle
import pytest
import torch
import yaml

from bundle.data.cohort_settings import CohortSettings
from bundle.data.cohort_writer import write_cohort
from bundle.data.problems import InputProblems

ROOT = Path(__file__).parent.parent
TINY = CohortSettings(n_subjects=24, spacing_mm=6.0, seed=3)
PATTERNS = {m: "{participant_id}/{participant_id}_" + m + ".nii.gz" for m in ("T1w", "FA", "NDI", "JAC")}


@pytest.fixture(scope="session", autouse=True)
def two_threads() -> None:
    """In all: one each where two workers run side by side."""
    threads = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # for the processes that tests start
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 participants on a grid of 32 x 32 x 24; read only."""
    folder = tmp_path_factory.mktemp("tiny") / "cohort"
    write_cohort(folder, TINY, num_workers=2)
    return folder


@pytest.fixture
def cohort(tiny_cohort: Path, tmp_path: Path) -> Path:
    """A copy of it to break."""
    copy = tmp_path / "cohort"
    shutil.copytree(tiny_cohort, copy, ignore=shutil.ignore_patterns("truth"))
    return copy


@pytest.fixture(autouse=True)
def from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Configs are read from the bundle root."""
    monkeypatch.chdir(ROOT)


TINY_NETWORK = {
    "_target_": "custom_nets.RefinedLinearAutoencoder",
    "modalities": "@modalities",
    "spatial_size": "@spatial_size",
    "embedding_size": 384,
    "n_components": 800,
    "width": 8,
    "n_units": 1,
}


CONFIGS = {
    "preparing": "prepare",
    "checking": "check",
    "mapping": "map",
    "stratifying": "map",
    "training": "train",
    "evaluating": "evaluate",
    "embedding": "inference",
    "clustering": "cluster",
    "assigning": "assign",
    "phenotyping": "phenotypes",
    "predicting": "predict",
    "reporting": "report",
    "calibrating": "calibrate",
    "cross_validating": "cross_validate",
    "checking_folds": "cross_validate",
    "collecting": "cross_validate",
    "exporting": "export",
}


def run_stage(run_id: str, output_dir: Path, overlay: dict[str, Any] | None = None, **overrides: Any) -> None:
    """Run a stage as `python -m monai.bundle run` does; on the tiny cohort's grid with a tiny network where there is one.

    `overlay` is a second config, for what options cannot do (`+key` appends to a list).
    """
    config = CONFIGS[run_id]
    options: dict[str, Any] = {"output_dir": str(output_dir)}
    if run_id in ("training", "evaluating", "embedding", "phenotyping"):
        options |= {"spatial_size": [32, 32, 24], "network_def": TINY_NETWORK}
    if run_id in ("checking", "preparing", "training", "evaluating", "phenotyping"):
        options["progress"] = False
    if run_id in ("checking", "preparing", "mapping", "stratifying"):
        options["spatial_size"] = [32, 32, 24]
    if run_id in ("mapping", "stratifying"):
        options |= {"spacing_mm": 6.0, "registration_mm": 6.0, "device": "cpu", "progress": False}
    files = [f"configs/{config}.yaml"]
    if overlay:
        output_dir.mkdir(parents=True, exist_ok=True)
        files.append(str(output_dir / "overlay.yaml"))
        Path(files[1]).write_text(yaml.safe_dump(overlay))
    monai.bundle.run(run_id=run_id, config_file=files, **(options | overrides))


def train(cohort: Path, output_dir: Path, **overrides: Any) -> None:
    """A short training run on the tiny cohort, in full precision."""
    options = {"dataset_dir": str(cohort), "max_epochs": 4, "warmup_steps": 2, "amp": False}
    run_stage("training", output_dir, **(options | overrides))


def root_cause(error: BaseException) -> BaseException:
    """What a config's layers of wrapping are around: the problems of the input, if that is what it was."""
    while error.__cause__ is not None and not isinstance(error, InputProblems):
        error = error.__cause__
    return error


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all that caused it."""
    while error is not None:
        yield error
        error = error.__cause__


@pytest.fixture(scope="session")
def trained(tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results folder of a finished training run; copy before changing."""
    output_dir = tmp_path_factory.mktemp("trained") / "output"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(ROOT)
        train(tiny_cohort, output_dir, max_epochs=12)
    return output_dir
