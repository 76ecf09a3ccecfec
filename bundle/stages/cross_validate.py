"""Train on all folds but one, evaluate on that one, for every fold."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from bundle.data.problems import InputProblems
from bundle.data.tables import read_table, write_table
from bundle.data.whole_cohort import WholeCohort
from bundle.folds.queue import run_folds
from bundle.folds.run import FoldRun, fold_folder, fold_sections
from bundle.folds.settings import FoldSettings
from bundle.paths import FOLD_TABLE, FOLDS, stage_folder
from bundle.running.interruption import kill_as_interrupt
from bundle.stages.collect_folds import collect_folds

logger = logging.getLogger(__name__)
AGAIN = "give the same command again: finished folds are not repeated, a broken one goes on after its last whole epoch"


def cross_validate(
    output_dir: str,
    checked: tuple[WholeCohort, pd.DataFrame],
    settings: FoldSettings,
    validation_fraction: float,
    seed: int,
    fold: int | Sequence[int] | None = None,
    devices: Sequence[object] | None = None,
    progress: bool = True,
) -> None:
    """Run every fold that is not finished, then collect.

    Args:
        output_dir: results folder; writes `folds/folds.tsv` and a results folder per fold in `folds/`.
        checked: cohort and folds, from `check_folds`.
        settings: of training and evaluation.
        validation_fraction: share of the families of the other folds that watch training.
        seed: of that choice.
        fold: run these alone (jobs of their own on a cluster); nothing is collected before all are there. None: all.
        devices: GPUs that take a fold each; None: one fold after another.
        progress: show a bar.

    Raises:
        InputProblems: before anything runs, if the folder holds folds of another split or other settings; after
            everything has run, if folds failed.
        SystemExit: with status 130 after Ctrl-C or a kill.
    """
    cohort, table = checked
    numbers = _numbers(fold, table)
    if isinstance(devices, str | int):
        raise InputProblems("--devices", [f'Expected a list such as "[0,1]", got {devices!r}.'])
    if isinstance(validation_fraction, str) or not 0 < validation_fraction < 1:
        raise InputProblems("--validation_fraction", [f"Expected a share in (0, 1), got {validation_fraction!r}."])
    runs = {
        number: FoldRun(
            number,
            fold_folder(output_dir, number),
            fold_sections(cohort.items, table["fold"].to_numpy(), number, validation_fraction, seed),
            settings,
            cohort.images_hash,
        )
        for number in sorted(set(table["fold"]))
    }
    _claim(stage_folder(output_dir, FOLDS), table, runs)
    waiting = [number for number in numbers if not runs[number].is_finished]
    logger.info("%d of %d folds to run: %s.", len(waiting), len(runs), ", ".join(map(str, waiting)) or "none")
    try:
        with kill_as_interrupt():
            failed = run_folds(waiting, devices or [], lambda number, *how: runs[number].run(*how), progress)
    except KeyboardInterrupt:
        finished = sum(run.is_finished for run in runs.values())
        logger.warning("Interrupted with %d of %d folds finished. To go on, %s.", finished, len(runs), AGAIN)
        raise SystemExit(130) from None
    if fold is None or all(run.is_finished for run in runs.values()):
        if any(run.is_finished for run in runs.values()):
            collect_folds(output_dir)
    elif not failed:
        logger.info("Finished: fold %s. When all are: run collecting.", ", ".join(map(str, numbers)))
    if failed:
        problems = [f"Fold {number}: {message}" for number, message in failed.items()]
        raise InputProblems(
            "Folds", [*problems, f"{len(failed)} of {len(waiting)} failed. Fix the cause, then {AGAIN}."]
        )


def _numbers(fold: int | Sequence[int] | None, table: pd.DataFrame) -> list[int]:
    known = sorted(set(table["fold"]))
    wanted = known if fold is None else [fold] if isinstance(fold, int | str) else list(fold)
    problems = [f"--fold {one!r}: expected a fold from 1 to {known[-1]}." for one in wanted if one not in known]
    if problems or not wanted:
        raise InputProblems("--fold", problems or [f"Expected a fold from 1 to {known[-1]}, or several, got none."])
    return list(dict.fromkeys(wanted))


def _claim(folder: Path, table: pd.DataFrame, runs: Mapping[int, FoldRun]) -> None:
    """Write the folds, or refuse a folder that was begun with others."""
    file = folder / FOLD_TABLE
    begun = any(run.folder.is_dir() for run in runs.values())
    if begun and file.is_file() and _split(read_table(file, dtype=str)) != _split(table):
        raise InputProblems(
            f"Results folder {folder}",
            [
                f"Its folds were begun with another split, {file}: give --folds_file {file} to go on with that, or "
                "another --output_dir."
            ],
        )
    problems = [sentence for run in runs.values() for sentence in run.problems()]
    if problems:
        raise InputProblems(f"Results folder {folder}", problems)
    write_table(table, file)


def _split(table: pd.DataFrame) -> dict[str, str]:
    return dict(zip(table["participant_id"].astype(str), table["fold"].astype(str), strict=True))
