"""Who is in which fold, and whether anybody of a fold is known to the others."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bundle.analysis.fold_split import RARE, combined_strata, stratified_folds
from bundle.data.fold_table import read_fold_table
from bundle.data.leakage import same_images
from bundle.data.problems import InputProblems
from bundle.data.relatives import relatives_apart
from bundle.data.voxel_hash import cohort_hash, voxel_hashes
from bundle.data.whole_cohort import WholeCohort, read_whole_cohort
from bundle.paths import FOLDS, shown_command, stage_folder

logger = logging.getLogger(__name__)
USUAL = "usual"
USUAL_STRATA = ("sex",)


def check_folds(
    output_dir: str,
    dataset_dir: str | None,
    images: Mapping[str, str],
    modalities: Sequence[str],
    participants: str | None,
    synthetic: Mapping[str, Any],
    n_folds: int,
    stratify: str | Sequence[str],
    folds_file: str | None,
    seed: int,
    num_workers: int = 2,
    progress: bool = True,
) -> tuple[WholeCohort, pd.DataFrame]:
    """Read the cohort, divide it into folds or read how it is divided, and look for leakage. Writes no folds.

    Args:
        output_dir: results folder; hashes of images are kept in `folds/image_hashes.tsv`.
        dataset_dir: as for `read_whole_cohort`.
        images: as for `read_whole_cohort`.
        modalities: as for `read_whole_cohort`.
        participants: as for `read_whole_cohort`.
        synthetic: as for `read_whole_cohort`.
        n_folds: how many; a folds file says itself.
        stratify: columns of the participants table that folds are alike in; `usual`: sex, if it is there.
        folds_file: a table of folds to take as it is.
        seed: of the folds.
        num_workers: threads that compare images.
        progress: show bars.

    Returns:
        The cohort with the hash of its images, and a row per participant with `participant_id`, `family_id`, `fold` and the stratifying columns.

    Raises:
        InputProblems: with everything that is wrong with the folds, images that are there twice, and relatives in
            different families.
    """
    cohort = read_whole_cohort(
        output_dir, dataset_dir, images, modalities, participants, synthetic, num_workers, progress
    )
    columns = _columns(stratify, cohort.table)
    problems: list[str] = []
    if folds_file is None:
        table = divide(cohort, n_folds, columns, seed)
    else:
        table, problems = read_fold_table(Path(folds_file).expanduser(), cohort.items)
        if not problems:
            table = _fold_table(cohort, table["fold"].to_numpy(), columns)
    paths = [item[modality] for item in cohort.items for modality in modalities if modality in item]
    cache = stage_folder(output_dir, FOLDS) / "image_hashes.tsv"
    hashes, unreadable = voxel_hashes(paths, cache, num_workers, progress)
    problems += unreadable
    problems += [finding.sentence for finding in same_images(cohort.items, modalities, hashes)]
    problems += relatives_apart(cohort.table, cohort.families)
    if problems:
        raise InputProblems("Folds", problems)
    logger.info("%s", describe(table))
    return replace(cohort, images_hash=cohort_hash(cohort.items, modalities, hashes)), table


def say_so(checked: tuple[WholeCohort, pd.DataFrame]) -> None:
    """Say that `check_folds` found nothing, and what is next."""
    logger.info(
        "No leakage found: no family is divided, no image is there twice, no relatives are in different families. Next: "
        "%s (and those options given here that it has, too)",
        shown_command("cross_validating", "cross_validate.yaml"),
    )


def divide(cohort: WholeCohort, n_folds: int, columns: Sequence[str], seed: int) -> pd.DataFrame:
    """Folds by whole families, alike in the columns.

    Raises:
        InputProblems: if there are not enough families.
    """
    families = [item["family_id"] for item in cohort.items]
    n_families = len(set(families))
    if isinstance(n_folds, bool) or not isinstance(n_folds, int) or not 2 <= n_folds <= n_families:
        raise InputProblems(
            "Folds", [f"--n_folds: expected a whole number from 2 to {n_families} (families), got {n_folds!r}."]
        )
    strata = combined_strata(cohort.table[list(columns)], n_folds)
    if columns and (strata == RARE).any():
        logger.info(
            "%d participants are rarer in %s than one in every fold: they are spread as one group.",
            (strata == RARE).sum(),
            columns[0],
        )
    try:
        folds = stratified_folds(strata.tolist(), families, n_folds, seed)
    except ValueError as error:
        raise InputProblems("Folds", [f"{error} Choose fewer --n_folds than {n_folds}."]) from error
    return _fold_table(cohort, folds, columns)


def describe(table: pd.DataFrame) -> str:
    """How many participants and families are in each fold, and of what kinds, in one line."""
    sizes = table.groupby("fold")["participant_id"].size()
    words = [
        f"{len(table)} participants in {table['family_id'].nunique()} families, {len(sizes)} folds of {_range(sizes)}"
    ]
    for column in table.columns.difference(["participant_id", "family_id", "fold"], sort=False):
        counts = pd.crosstab(table["fold"], table[column].fillna("n/a"))
        if counts.shape[1] <= 6:
            words.append(f"{column}: " + ", ".join(f"{level} {_range(counts[level])}" for level in counts))
    return "; ".join(words)


def _range(numbers: pd.Series) -> str:
    low, high = numbers.min(), numbers.max()
    return str(low) if low == high else f"{low} to {high}"


def _fold_table(cohort: WholeCohort, folds: np.ndarray, columns: Sequence[str]) -> pd.DataFrame:
    table = pd.DataFrame([{name: item[name] for name in ("participant_id", "family_id")} for item in cohort.items])
    table["fold"] = folds
    return table.assign(**{name: cohort.table[name].to_numpy() for name in columns})


def _columns(stratify: str | Sequence[str], table: pd.DataFrame) -> list[str]:
    """Names of the columns that folds are to be alike in."""
    if isinstance(stratify, str):
        if stratify != USUAL:
            raise InputProblems(
                "--stratify", [f"Expected usual or a list such as \"['sex','site']\", got {stratify!r}."]
            )
        return [name for name in USUAL_STRATA if name in table]
    known = [name for name in table if name not in ("participant_id", "family_id")]
    problems = [
        f"No column {name!r} in the participants table: it has {', '.join(known)}."
        for name in stratify or []
        if name not in known
    ]
    if problems:
        raise InputProblems("--stratify", problems)
    return list(dict.fromkeys(stratify or []))
