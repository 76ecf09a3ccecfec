"""Studies: train, evaluate and embed one thing after another, and put them into one table."""

from __future__ import annotations

import hashlib
import json
import logging
import logging.config
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from bundle.data.atomic import write_text
from bundle.data.cohort_settings import CohortSettings
from bundle.data.cohort_writer import write_cohort
from bundle.data.problems import InputProblems
from bundle.data.tables import write_table
from bundle.paths import COHORT, PARTICIPANTS, stage_folder
from bundle.pictures import save_figure
from bundle.running.interruption import kill_as_interrupt
from bundle.running.process import start_process
from bundle.running.stage_process import BUNDLE_ROOT, run_stage
from bundle.study.picture import study_picture
from bundle.study.plan import plan_runs
from bundle.study.results import page, run_rows, seed_row
from bundle.study.seed_run import SeedRun, StageRunner
from bundle.study.settings import StudySettings, read_study, unknown_word

logger = logging.getLogger(__name__)
STUDIES = "studies"


def start_study() -> None:
    """Set up the process; the configs of studies stand in a folder without `logging.conf`, so take the bundle's."""
    start_process(seed=0)
    logging.config.fileConfig(BUNDLE_ROOT / "configs" / "logging.conf", disable_existing_loggers=False)


def run_study(
    output_dir: str,
    study: Mapping[str, Any],
    grid: Mapping[str, Any],
    dataset_dir: str | None = None,
    seeds: Sequence[int] = (0,),
    only: Sequence[str] | None = None,
    runner: StageRunner = run_stage,
) -> pd.DataFrame:
    """Carry out what is missing of a study, write `<output_dir>/studies/<name>/` and log its table.

    Every run and seed has a results folder there, with the log of each stage; finished ones are not repeated, and a
    training that was broken off goes on. Beside them stand `runs.tsv` (a row per run and seed), `table.tsv` (a row
    per run), `study.md` and `study.png`, of all runs and seeds of the study that are finished, also of earlier calls.

    Args:
        output_dir: results folder.
        study: arguments of `StudySettings`.
        grid: cohort, options and arguments of networks that the study stands on, see `read_study`.
        dataset_dir: cohort folder that all runs read; None draws the synthetic one once, for all studies that ask for it.
        seeds: each is another split, other weights and another order.
        only: names of runs; None: all.
        runner: see `bundle.running.stage_process.run_stage`.

    Returns:
        The table, a row per run.

    Raises:
        InputProblems: with all that is wrong, before anything runs; at the end, with the runs that failed.
        SystemExit: with status 130 after Ctrl-C or a kill.
    """
    settings, listed = read_study(study, grid)
    planned, problems = plan_runs(settings, listed, grid.get("arguments", {}))
    names = [run.name for run in listed]
    problems += _problems_of_choice(seeds, only, names)
    folder = stage_folder(output_dir, STUDIES) / settings.name
    if dataset_dir is None:
        cohort, facts = folder.parent / _cohort_name(settings.cohort), dict(settings.cohort)
    else:
        cohort = Path(dataset_dir).expanduser().resolve()
        facts = {"dataset_dir": str(cohort), "files": _files_hash(cohort)}
        if not cohort.is_dir():
            problems.append(f"--dataset_dir {cohort} is no folder: expected a cohort folder.")
    if problems:
        raise InputProblems(f"Study {settings.name}", problems)
    plan = [SeedRun(run, seed, folder, cohort, facts, settings.clustering) for seed in seeds for run in planned]
    chosen = [one for one in plan if only is None or one.run.name in only]
    _refuse_others(settings, plan, chosen)
    if dataset_dir is None:
        write_cohort(cohort, CohortSettings(**settings.cohort))
    failed = _carry_out(plan, chosen, runner)
    named = facts if dataset_dir is None else {"dataset_dir": str(dataset_dir)}
    earlier = [
        SeedRun(run, seed, folder, cohort, facts, settings.clustering)
        for run in planned
        for seed in _seeds_so_far(folder / run.name)
        if seed not in seeds
    ]
    table = _write(settings, folder, [one for one in [*plan, *earlier] if one.is_finished()], named)
    if failed:
        raise InputProblems(f"Study {settings.name}", failed)
    return table


def _seeds_so_far(folder: Path) -> list[int]:
    """Seeds that a run was made with, by the names of its folders."""
    names = [path.name.removeprefix("seed_") for path in folder.glob("seed_*")]
    return [int(name) for name in names if name.isdecimal()]


def _cohort_name(settings: Mapping[str, Any]) -> str:
    """A folder's name for a synthetic cohort, so that studies of the same one share it."""
    return f"{COHORT}_{hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]}"


def _files_hash(cohort: Path) -> str:
    """Twelve hexadecimal digits of the participants table and of names and sizes of all images: others are another cohort."""
    files = [
        Path(folder) / name
        for folder, _, names in os.walk(cohort, followlinks=True)
        for name in names
        if ".nii" in name
    ]
    broken = [f"{file} is a link to nothing: fetch its file." for file in files if not file.exists()]
    if broken:
        raise InputProblems("Cohort", broken)
    images = sorted((str(file.relative_to(cohort)), file.stat().st_size) for file in files)
    table = cohort / PARTICIPANTS
    content = table.read_bytes() if table.is_file() else b""
    return hashlib.sha256(content + repr(images).encode()).hexdigest()[:12]


def _problems_of_choice(seeds: Sequence[int], only: Sequence[str] | None, names: Sequence[str]) -> list[str]:
    problems = []
    if not isinstance(seeds, (list, tuple)) or not seeds or len(set(seeds)) < len(seeds):
        problems.append(f'--seeds: expected a list of different numbers such as "[0,1,2]", got {seeds!r}.')
    if only is not None and (isinstance(only, str) or not only):
        problems.append(f"--only: expected a list of runs such as \"['{names[0]}']\", got {only!r}.")
    elif only is not None:
        problems += [unknown_word("--only", name, names) for name in only if name not in names]
    return problems


def _refuse_others(settings: StudySettings, plan: Sequence[SeedRun], chosen: Sequence[SeedRun]) -> None:
    """Results of other settings under the same name, and runs under equal time without the runs that set it."""
    problems = [sentence for one in chosen for sentence in one.problems()]
    for one in chosen:
        needed = [name for name in (one.run.same_as, one.run.time_of) if name is not None]
        problems += [
            f"{one.words}: needs {other.words}, which is neither finished nor chosen: add it to --only."
            for other in plan
            if other.seed == one.seed and other.run.name in needed and other not in chosen and not other.is_finished()
        ]
    if problems:
        raise InputProblems(f"Study {settings.name}", problems)


def _carry_out(plan: Sequence[SeedRun], chosen: Sequence[SeedRun], runner: StageRunner) -> list[str]:
    """Run what is missing; a sentence for each run that failed, after which the others go on."""
    failed = []
    missing = [one for one in chosen if not one.is_finished()]
    logger.info("%d of %d runs are finished.", len(chosen) - len(missing), len(chosen))
    for one in tqdm(missing, desc="Study", unit="run"):
        logger.info("%s: %s", one.words, one.folder)
        try:
            with kill_as_interrupt():
                one.carry_out({other.run.name: other for other in plan if other.seed == one.seed}, runner)
        except InputProblems as error:
            failed += [f"{one.words}: {sentence}" for sentence in error.problems]
            logger.warning("%s failed; the others go on.", one.words)
        except KeyboardInterrupt:
            logger.warning("Interrupted in %s; the same command goes on there.", one.words)
            raise SystemExit(130) from None
    return failed


def _write(
    settings: StudySettings, folder: Path, finished: Sequence[SeedRun], facts: Mapping[str, Any]
) -> pd.DataFrame:
    if not finished:
        return pd.DataFrame()
    order = [entry["name"] for entry in settings.runs]
    rows = pd.DataFrame(
        [seed_row(one) for one in sorted(finished, key=lambda one: (order.index(one.run.name), one.seed))]
    )
    table = run_rows(rows)
    for name, content in {"runs": rows, "table": table}.items():
        write_table(content, folder / f"{name}.tsv")
    seeds = sorted({one.seed for one in finished})
    sentences = [
        "Cohort: " + ", ".join(f"{key} {value}" for key, value in facts.items()) + ".",
        f"Training: {', '.join(f'{key} {value}' for key, value in settings.options.items())}.",
        f"Seeds: {', '.join(map(str, seeds))}.",
    ]
    text = page(settings, table, sentences)
    write_text(text, folder / "study.md")
    save_figure(study_picture(settings, rows, table), folder / "study.png")
    logger.info("%s\nWritten: %s: table.tsv, runs.tsv, study.md, study.png", text, folder)
    return table
