"""What the folds say together about reconstruction: per fold, and pooled over all held-out participants."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bundle.analysis.held_out_figures import family_ratios
from bundle.data.json_files import read_json, write_json
from bundle.data.problems import InputProblems
from bundle.data.tables import read_table, write_table
from bundle.folds.pictures import fold_picture
from bundle.folds.run import fold_folder, is_finished, read_people, read_record
from bundle.folds.settings import differences
from bundle.paths import CROSS_VALIDATION, DATALIST, FOLD_TABLE, FOLDS, stage_folder
from bundle.pictures import save_figure
from bundle.report.numbers import with_ends

logger = logging.getLogger(__name__)
SUMS = ("squared_error", "pca_squared_error", "squared_residual")
MEANS = {"mse_mask": "mse_mask", "norm_diff": "norm_diff", "ssim": "ssim", "cnr_ratio": "cnr_ratio"}
IDENTIFIABLE = "own_image_is_nearest"
FIGURES = ("r2", "pca_r2", "above_pca", *MEANS, "identifiability")
"""Each with its `_low` and `_high`."""


def collect_folds(output_dir: str) -> pd.DataFrame:
    """Pool what finished folds left and write `8_cross_validation/`.

    Writes `summary.tsv` (a row per modality, over all held-out participants), `per_fold.tsv` (a row per fold and modality),
    `people.tsv` (a row per held-out participant and modality), `summary.json` and `folds.png`. Only figures of participants are
    pooled, never codes: every fold has an encoder of its own.

    Args:
        output_dir: results folder of the cross-validation.

    Returns:
        The pooled table.

    Raises:
        InputProblems: if no fold is finished, or folds were made with different settings or hold other participants than
            `folds/folds.tsv` says; participants who lack a map are trained on and not evaluated.
    """
    split = _read_split(stage_folder(output_dir, FOLDS) / FOLD_TABLE)
    numbers = sorted(set(split["fold"]))
    finished = [number for number in numbers if is_finished(fold_folder(output_dir, number))]
    missing = [number for number in numbers if number not in finished]
    if not finished:
        raise InputProblems(
            "Folds", [f"No fold in {stage_folder(output_dir, FOLDS)} is finished: run cross_validating."]
        )
    _check_settings(output_dir, finished)
    parts, lacking = [], set[str]()
    for number in finished:
        people = read_people(fold_folder(output_dir, number))
        lacking |= _check_people(people, split, number, fold_folder(output_dir, number))
        parts.append(people.assign(fold=number))
    people = pd.concat(parts, ignore_index=True)
    people["family_id"] = people["participant_id"].map(split.set_index("participant_id")["family_id"])
    people = people[["fold", "participant_id", "family_id", *people.columns.difference(_LEADING, sort=False)]]
    summary = pooled_figures(people, ["modality"])
    per_fold = pooled_figures(people, ["fold", "modality"])
    spread = per_fold.groupby("modality", sort=False)["r2"].agg(["min", "max"])
    summary["r2_lowest_fold"], summary["r2_highest_fold"] = spread["min"].to_numpy(), spread["max"].to_numpy()
    facts = {
        "headline": _headline(len(numbers), missing, len(lacking)),
        "n_folds": len(numbers),
        "missing": missing,
        "n_people": int(people["participant_id"].nunique()),
        "n_families": int(people["family_id"].nunique()),
        "n_people_in_all": len(split),
        "n_people_who_lack_a_map": len(lacking),
        "stratified": [name for name in split if name not in ("participant_id", "family_id", "fold")],
        "made_with": _made_with(output_dir, finished[0]),
    }
    folder = stage_folder(output_dir, CROSS_VALIDATION)
    for name, table in {"people": people, "per_fold": per_fold, "summary": summary}.items():
        write_table(table, folder / f"{name}.tsv")
    save_figure(fold_picture(per_fold, summary, numbers), folder / "folds.png")
    write_json(facts, folder / "summary.json")
    logger.info("%s", _words(summary, facts, folder))
    return summary


_LEADING = ("fold", "participant_id", "family_id")


def pooled_figures(people: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Figures of each group of participants with 95 % intervals, families resampled.

    R² is pooled as one minus the sum of errors over the sum of what there was to explain, so that folds count by
    their participants; other figures are means over participants.

    Args:
        people: a row per participant and modality, with `family_id` and the columns of an evaluation's `people.tsv`.
        by: columns that name a group.

    Returns:
        A row per group: its names, `n_people`, `n_families`, and every one of `FIGURES` with `_low` and `_high`, which are
        NaN where families are too few for an interval (`LEAST_FOR_INTERVAL`).
    """
    rows = []
    for names, group in people.groupby(list(by), sort=False):
        error, pca_error, residual = (group[name].to_numpy(dtype=float) for name in SUMS)
        means = [group[name].to_numpy(dtype=float) if name in group else np.full(len(group), np.nan) for name in MEANS]
        means.append(group[IDENTIFIABLE].to_numpy(dtype=float))
        numerators = np.stack([residual - error, residual - pca_error, pca_error - error, *means], axis=1)
        denominators = np.stack([residual] * 3 + [np.ones(len(group))] * len(means), axis=1)
        values = family_ratios(numerators, denominators, group["family_id"].tolist())
        row: dict[str, Any] = dict(zip(by, names, strict=True))
        row |= {"n_people": len(group), "n_families": group["family_id"].nunique()}
        for figure, (value, low, high) in zip(FIGURES, values.T, strict=True):
            row |= {figure: value, f"{figure}_low": low, f"{figure}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def _read_split(file: Path) -> pd.DataFrame:
    if not file.is_file():
        raise InputProblems("Folds", [f"No {file}: run cross_validating first, or give its --output_dir."])
    table = read_table(file, dtype=str)
    return table.assign(fold=table["fold"].astype(int))


def _made_with(output_dir: str, number: int) -> dict[str, Any]:
    """Settings of a fold without its participants."""
    record = read_record(fold_folder(output_dir, number)) or {"made_with": {}}
    return {name: value for name, value in record["made_with"].items() if name != "people"}


def _check_settings(output_dir: str, finished: Sequence[int]) -> None:
    first = _made_with(output_dir, finished[0])
    problems = [
        f"Fold {number} was made with other settings than fold {finished[0]} ({'; '.join(differing)}): run one of them "
        "again in another --output_dir."
        for number in finished
        if (differing := differences(first, _made_with(output_dir, number)))
    ]
    if problems:
        raise InputProblems("Folds", problems)


def _check_people(people: pd.DataFrame, split: pd.DataFrame, number: int, folder: Path) -> set[str]:
    """Those of the fold who were not evaluated because they lack a map; refused if anybody else was not."""
    absent = [name for name in ("modality", *SUMS, IDENTIFIABLE) if name not in people]
    expected = set(split.loc[split["fold"] == number, "participant_id"])
    found = set(people["participant_id"])
    problems = []
    if absent:
        problems.append(
            f"{folder}: its people.tsv lacks {', '.join(absent)}: another version wrote it; run the fold again."
        )
    lacking = set() if absent else _who_lacks_a_map(folder, set(people["modality"]))
    strangers, unseen = found - expected, expected - found - lacking
    if strangers or unseen:
        problems.append(
            f"{folder} was evaluated on other participants than {FOLD_TABLE} says: {len(strangers)} more and {len(unseen)} less, "
            f"such as {', '.join(sorted(strangers | unseen)[:3])}."
        )
    if problems:
        raise InputProblems("Folds", problems)
    return expected - found


def _who_lacks_a_map(folder: Path, modalities: set[str]) -> set[str]:
    held_out = read_json(folder / DATALIST)["test"]
    return {str(item["participant_id"]) for item in held_out if not modalities <= set(item)}


def _headline(n_folds: int, missing: Sequence[int], n_lacking: int) -> str:
    parts = [f"All {n_folds} folds are in."]
    if missing:
        parts = [f"Incomplete: {n_folds - len(missing)} of {n_folds} folds; missing: {', '.join(map(str, missing))}."]
    if n_lacking:
        parts.append(f"{n_lacking} participants who lack a map were trained on, but not evaluated.")
    return " ".join(parts)


def _words(summary: pd.DataFrame, facts: dict[str, Any], folder: Path) -> str:
    shown = pd.DataFrame({"modality": summary["modality"]})
    for figure in FIGURES:
        numbers = summary[[figure, f"{figure}_low", f"{figure}_high"]].to_numpy()
        shown[figure] = [with_ends(*ends) for ends in numbers]
    return "\n".join(
        [
            f"{facts['headline']} {facts['n_people']} held-out participants in {facts['n_families']} families; 95 % intervals, "
            "families resampled:",
            shown.set_index("modality").T.to_string(),
            f"Written: {folder}/summary.tsv, per_fold.tsv, people.tsv, summary.json, folds.png",
        ]
    )
