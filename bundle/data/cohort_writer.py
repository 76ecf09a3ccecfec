"""The synthetic cohort as files, exactly as a user's cohort would lie on disk."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from bundle.data.atomic import temporary_name
from bundle.data.cohort_settings import CohortSettings
from bundle.data.json_files import write_json
from bundle.data.one_at_a_time import one_at_a_time
from bundle.data.problems import InputProblems
from bundle.data.synthetic import SyntheticCohort
from bundle.data.tables import write_table
from bundle.paths import PARTICIPANTS, PHENOTYPES, TRUTH

logger = logging.getLogger(__name__)
SETTINGS_FILE = "cohort.json"
CHUNK = 10
"""Participants per job: enough to outweigh setting up a worker, few enough for a moving progress bar."""


def write_cohort(folder: str | Path, settings: CohortSettings, num_workers: int = 2, progress: bool = True) -> None:
    """Draw the cohort into `folder`, one sub-folder per participant, or complete what an interrupted call left.

    Writes `<id>/<id>_<modality>.nii.gz`, `participants.tsv`, `phenotypes.tsv`, `cohort.json` (the settings) and
    `truth/` (strata, factors, loadings, noise-free images), which only tests and reports may read. A participant's folder
    appears when all of it is written; `participants.tsv` comes last. A complete cohort is left as it is. Of several calls
    at once, such as a job for each fold, one draws and the others wait.

    Raises:
        InputProblems: if the folder holds a cohort with other settings.
    """
    folder = Path(folder)
    is_complete = (folder / PARTICIPANTS).is_file()
    with nullcontext() if is_complete else one_at_a_time(folder):
        _claim(folder, settings)
        if not (folder / PARTICIPANTS).is_file():
            _draw(folder, settings, num_workers, progress)


def _draw(folder: Path, settings: CohortSettings, num_workers: int, progress: bool) -> None:
    for leftover in [*folder.glob(".*.sub-*"), *(folder / TRUTH).glob(".*.sub-*")]:
        shutil.rmtree(leftover)
    cohort = SyntheticCohort(settings)
    missing = [n for n, name in enumerate(cohort.population.participants.index) if not (folder / name).is_dir()]
    chunks = [missing[start : start + CHUNK] for start in range(0, len(missing), CHUNK)]
    jobs = (delayed(_write_people)(folder, settings, chunk) for chunk in chunks)
    with tqdm(total=len(missing), desc="Drawing the synthetic cohort", unit="participant", disable=not progress) as bar:
        for count in Parallel(n_jobs=max(1, num_workers), return_as="generator_unordered")(jobs):
            bar.update(count)
    _write_tables(folder, cohort)


def is_as_drawn(folder: Path, items: Sequence[Mapping[str, Any]], n_images: int = 5) -> bool:
    """Whether participants are those that the settings in a cohort's folder draw, so that no other's images pass for synthetic.

    Every name is compared, and the images of the first participants are drawn again.

    Args:
        folder: of the cohort.
        items: participants with their images.
        n_images: how many participants' images are compared.
    """
    try:
        settings = CohortSettings(**json.loads((folder / SETTINGS_FILE).read_text()))
        cohort = SyntheticCohort(settings)
    except (OSError, ValueError, TypeError, InputProblems):
        return False
    numbers = {str(name): number for number, name in enumerate(cohort.population.participants.index)}
    if any(item["participant_id"] not in numbers for item in items):
        return False
    for item in items[:n_images]:
        for modality, drawn in cohort.draw_subject(numbers[item["participant_id"]]).images.items():
            if modality in item and Path(item[modality]).is_file():
                image: Any = nib.load(item[modality])
                found = image.get_fdata(dtype=np.float32)
                # stored with 16 bits, and drawn on another machine perhaps
                if found.shape != drawn.shape or np.abs(found - drawn).max() > 0.01 * np.ptp(drawn):
                    return False
    return True


def _claim(folder: Path, settings: CohortSettings) -> None:
    """Write the settings, or refuse a folder that was begun with others."""
    file = folder / SETTINGS_FILE
    if not file.is_file():
        write_json(settings.to_dict(), file)
        return
    found = CohortSettings().to_dict() | json.loads(file.read_text())  # settings that came later had no effect then
    if found != settings.to_dict():
        wanted = settings.to_dict()
        differing = [
            f"{k}: {found.get(k)} there, {wanted.get(k)} asked for" for k in wanted if found.get(k) != wanted[k]
        ]
        raise InputProblems(
            "Synthetic cohort",
            [
                f"{folder} holds a synthetic cohort with other settings ({'; '.join(differing)}): "
                "choose another --output_dir, or delete that folder."
            ],
        )


@lru_cache(maxsize=1)
def _cohort(settings: CohortSettings) -> SyntheticCohort:
    """One per worker process: the template and the spatial bases are made once, not once per job."""
    torch.set_num_threads(1)
    return SyntheticCohort(settings)


def _write_people(folder: Path, settings: CohortSettings, numbers: list[int]) -> int:
    cohort = _cohort(settings)
    affine = cohort.template.affine
    for number in numbers:
        name = str(cohort.population.participants.index[number])
        subject = cohort.draw_subject(number)
        # the truth first: a participant's own folder is the sign that both are there
        _write_volumes(folder / TRUTH / name, name, subject.noise_free, affine)
        _write_volumes(folder / name, name, subject.images, affine)
    return len(numbers)


def _write_volumes(folder: Path, name: str, volumes: Mapping[str, np.ndarray], affine: np.ndarray) -> None:
    temporary = temporary_name(folder)
    temporary.mkdir(parents=True)
    try:
        for modality, volume in volumes.items():
            image = nib.Nifti1Image(volume, affine)
            image.set_data_dtype(np.int16)  # with a scale factor, as scanners and converters store them
            image.header.set_xyzt_units("mm")
            image.set_sform(affine, code="mni")
            image.set_qform(affine, code="mni")
            nib.save(image, temporary / f"{name}_{modality}.nii.gz")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_tables(folder: Path, cohort: SyntheticCohort) -> None:
    people = cohort.population
    tables = {
        f"{TRUTH}/factors.tsv": people.truth,
        f"{TRUTH}/loadings.tsv": people.loadings,
        PHENOTYPES: people.phenotypes,
        PARTICIPANTS: people.participants,
    }
    for name, table in tables.items():
        write_table(table.reset_index(), folder / name)
