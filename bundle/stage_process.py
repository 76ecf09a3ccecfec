"""Run a stage in a process of its own, as a user does: for jobs that are made of many stages."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.data.problems import InputProblems

BUNDLE_ROOT = Path(__file__).resolve().parent.parent
"""Configs name each other relative to it."""
SHOWN_LINES = 15


def stage_command(run_id: str, config_files: Sequence[str | Path], options: Mapping[str, Any]) -> list[str]:
    """The words of `python -m monai.bundle run`, to be run from the bundle root.

    Args:
        run_id: of the stage.
        config_files: the stage's config, then its overlays.
        options: name -> value; None, lists and dictionaries are written so that MONAI reads them back.
    """
    files = repr([str(file) for file in config_files]) if len(config_files) > 1 else str(config_files[0])
    words = [sys.executable, "-m", "monai.bundle", "run", run_id, "--config_file", files]
    for name, value in options.items():
        words += [f"--{name}", "$None" if value is None else str(value)]
    return words


def run_stage(run_id: str, config_files: Sequence[str | Path], options: Mapping[str, Any], log_file: Path) -> float:
    """Run a stage to its end, with all that it prints in a file; seconds it took.

    Args:
        run_id: of the stage.
        config_files: as `stage_command`.
        options: as `stage_command`.
        log_file: replaced; its folder is made.

    Raises:
        InputProblems: if the stage fails, with the last lines that it printed.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    with log_file.open("w") as log:
        done = subprocess.run(
            stage_command(run_id, config_files, options), cwd=BUNDLE_ROOT, stdout=log, stderr=subprocess.STDOUT
        )
    if done.returncode:
        last = "\n    ".join(log_file.read_text(errors="replace").strip().splitlines()[-SHOWN_LINES:])
        raise InputProblems(f"Stage {run_id}", [f"It failed; {log_file} ends with\n    {last}"])
    return time.perf_counter() - started
