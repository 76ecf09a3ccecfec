"""Stage 1: a cohort on disk becomes one checked datalist, split by family."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.data.atomic import write_text
from bundle.data.check import canonical_grid, check_images, explain_padding, files_signature
from bundle.data.cohort_folder import items_from_folder
from bundle.data.cohort_settings import CohortSettings
from bundle.data.cohort_writer import write_cohort
from bundle.data.datalist import SECTIONS, Item, datalist_to_json, items_from_datalist, present_modalities
from bundle.data.family_split import split_by_family
from bundle.data.json_files import read_json
from bundle.data.leakage import shared_files
from bundle.data.participants import read_participants
from bundle.data.problems import InputProblems
from bundle.data.relatives import relatives_apart
from bundle.paths import CHECKPOINT, COHORT, DATALIST, PARTICIPANTS, PREPARED, TRAINING, beside_datalist, stage_folder

logger = logging.getLogger(__name__)


def prepare(
    output_dir: str,
    dataset_dir: str | None,
    images: Mapping[str, str],
    modalities: Sequence[str],
    spatial_size: Sequence[int],
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    synthetic: Mapping[str, Any],
    num_workers: int = 2,
    progress: bool = True,
) -> dict[str, list[Item]]:
    """Check the cohort and write `1_prepared/datalist.json`; a second call gives the same split.

    Args:
        output_dir: results folder; this stage writes `1_prepared/` in it.
        dataset_dir: the user's cohort folder (with `participants.tsv`) or MONAI datalist JSON. None, or the folder
            `<output_dir>/1_prepared/cohort`, draws the synthetic cohort there first.
        images: modality -> file pattern with `{participant_id}`, relative to the cohort folder.
        modalities: those to use, in channel order.
        spatial_size: the network's grid.
        validation_fraction: share of participants in the validation split (whole families).
        test_fraction: the same for the test split.
        seed: of the split.
        synthetic: arguments of `CohortSettings`.
        num_workers: processes that draw, threads that check.
        progress: show bars.

    Returns:
        Sections `training`, `validation`, `test`: lists of items with absolute paths.

    Raises:
        InputProblems: with all that is wrong, before any work; relatives that the participants table puts into several
            families are, too.
    """
    folder = stage_folder(output_dir, PREPARED)
    cohort_folder = folder / COHORT
    source = cohort_folder if dataset_dir is None else Path(dataset_dir).expanduser().resolve()
    _refuse_other_source(folder / DATALIST, source)
    if len(spatial_size) != 3:
        raise InputProblems("Grid", [f"Expected three sizes for --spatial_size, got {spatial_size}."])
    if source == cohort_folder:
        write_cohort(cohort_folder, CohortSettings(**synthetic), num_workers, progress)
    elif not source.exists():
        raise InputProblems(
            "Cohort", [f"--dataset_dir {source} does not exist: expected a cohort folder or a datalist JSON."]
        )
    sections = _read(source, images, modalities, validation_fraction, test_fraction, seed)
    everybody = [item for name in SECTIONS for item in sections[name]]
    twice = [finding.sentence for finding in shared_files(everybody, modalities)]
    if twice:
        raise InputProblems("Files", twice)
    table = beside_datalist(source, PARTICIPANTS)
    apart = (
        relatives_apart(read_participants(table), {p["participant_id"]: p["family_id"] for p in everybody})
        if table
        else []
    )
    if apart:
        raise InputProblems("Families", apart)
    facts = {
        "dataset_dir": str(source),
        "modalities": list(modalities),
        "spatial_size": list(spatial_size),
        "files": files_signature(everybody, modalities),
    }
    _check(folder / DATALIST, sections, facts, num_workers, progress)
    first = everybody[0]
    note = explain_padding(canonical_grid(first[present_modalities(first, modalities)[0]])[0], spatial_size)
    absent = {m: [item["participant_id"] for item in everybody if m not in item] for m in modalities}
    lacking = [f"{m} of {len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" for m, names in absent.items() if names]  # fmt: skip
    if lacking:
        note = f"Modalities that are missing: {'; '.join(lacking)}. {note}"
    counts = ", ".join(f"{len(sections[name])} {name}" for name in SECTIONS)
    logger.info("%d participants from %s: %s. %s", len(everybody), source, counts, note)
    return sections


def _read(
    source: Path,
    images: Mapping[str, str],
    modalities: Sequence[str],
    validation_fraction: float,
    test_fraction: float,
    seed: int,
) -> dict[str, list[Item]]:
    if source.is_file():
        sections = items_from_datalist(source, modalities, any_subset=True)
        empty = [name for name, items in sections.items() if not items]
        if empty:
            raise InputProblems(
                f"Datalist {source}", [f"No participant in {name}: training needs all of {SECTIONS}." for name in empty]
            )
        return sections
    items = items_from_folder(source, images, modalities, any_subset=True)
    return split_by_family(items, validation_fraction, test_fraction, seed)


def _is_trained(datalist: Path) -> bool:
    return (datalist.parent.parent / TRAINING / CHECKPOINT).is_file()


def _refuse_other_source(datalist: Path, source: Path) -> None:
    """Before anything is drawn or read: a network here must have been trained on the same cohort."""
    if not (datalist.is_file() and _is_trained(datalist)):
        return
    before = read_json(datalist).get("dataset_dir")
    if before != str(source):
        raise InputProblems(
            f"Results folder {datalist.parent.parent}",
            [
                f"It holds a network trained on {before}, not on {source}: give --dataset_dir {before}, or another --output_dir."
            ],
        )


def _check(
    file: Path, sections: Mapping[str, list[Item]], facts: Mapping[str, Any], num_workers: int, progress: bool
) -> None:
    """Check images unless this very datalist has been checked, then write it; refuse to replace another one."""
    text = datalist_to_json(sections, **facts)
    if file.is_file():
        if file.read_text() == text:
            return
        before = read_json(file)
        differing = [key for key in json.loads(text) if key != "files" and before.get(key) != json.loads(text)[key]]
        if differing and _is_trained(file):
            raise InputProblems(
                f"Results folder {file.parent.parent}",
                [f"It holds a network trained with other {', '.join(differing)}: choose another --output_dir."],
            )
    everybody = [item for items in sections.values() for item in items]
    problems = check_images(everybody, facts["modalities"], facts["spatial_size"], num_workers, progress)
    if problems:
        raise InputProblems("Images", problems)
    write_text(text, file)
