"""Run a stage in a process of its own, as a user does: for jobs that are made of many stages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.data.problems import InputProblems
from bundle.paths import bundle_root

BUNDLE_ROOT = Path(bundle_root())
"""Configs name each other relative to it."""
SHOWN_LINES = 15
SECONDS_BETWEEN_LOOKS, SECONDS_TO_STOP = 0.5, 30


class StageFailed(InputProblems):
    """A stage that ended with another status than 0; `stopped` says whether a participant stopped it (Ctrl-C, a kill)."""

    def __init__(self, title: str, problems: Sequence[str], stopped: bool = False) -> None:
        super().__init__(title, problems)
        self.stopped = stopped


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


def run_stage(
    run_id: str,
    config_files: Sequence[str | Path],
    options: Mapping[str, Any],
    log_file: Path,
    environment: Mapping[str, str] | None = None,
    stop: threading.Event | None = None,
) -> float:
    """Run a stage to its end, with all that it prints in a file; seconds it took.

    Args:
        run_id: of the stage.
        config_files: as `stage_command`.
        options: as `stage_command`.
        log_file: replaced; its folder is made.
        environment: variables of its own, beside those of this process.
        stop: once set, the stage is interrupted as by Ctrl-C; for stages that a thread runs.

    Raises:
        StageFailed: if the stage fails, with the last lines that it printed.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    with log_file.open("w") as log:
        process = subprocess.Popen(
            stage_command(run_id, config_files, options),
            cwd=BUNDLE_ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
        status = _wait(process, stop)
    if status:
        last = "\n    ".join(log_file.read_text(errors="replace").strip().splitlines()[-SHOWN_LINES:])
        # jobs in the background may ignore an interrupt and then have to be killed
        told_to = stop is not None and stop.is_set()
        stopped = told_to or status in (128 + signal.SIGINT, -signal.SIGINT, -signal.SIGTERM)
        raise StageFailed(f"Stage {run_id}", [f"It failed; {log_file} ends with\n    {last}"], stopped)
    return time.perf_counter() - started


def _wait(process: subprocess.Popen, stop: threading.Event | None) -> int:
    """Exit status of a process; if this one is interrupted, or told to stop, so is that one."""
    try:
        while True:
            try:
                return process.wait(SECONDS_BETWEEN_LOOKS)
            except subprocess.TimeoutExpired:
                if stop is not None and stop.is_set():
                    return _end(process)
    except KeyboardInterrupt:
        _end(process)
        raise


def _end(process: subprocess.Popen) -> int:
    process.send_signal(signal.SIGINT)
    try:
        return process.wait(SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
