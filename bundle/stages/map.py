"""Raw scans to the four maps, on the network's grid."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle.data.problems import InputProblems
from bundle.mapping.optional import needed
from bundle.mapping.overlays import draw_overlays
from bundle.mapping.person import map_person
from bundle.mapping.precomputed import check_warp
from bundle.mapping.records import (
    MAPS,
    PAGE,
    RECORD,
    WORK,
    refuse_other_settings,
    write_page,
    write_participants,
    write_record,
)
from bundle.mapping.scans import Scans
from bundle.mapping.settings import MappingSettings
from bundle.mapping.target import Target
from bundle.mapping.warp_step import read_warp
from bundle.mapping.work import Work
from bundle.mapping.worries import figures_of, worries_of
from bundle.paths import COHORT, MAPPED, shown_command, stage_folder
from bundle.report.mapping_page import MappedPerson

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MappedCohort:
    """What mapping leaves.

    Attributes:
        folder: the cohort, for `--dataset_dir`.
        people: ids in it, of earlier calls too.
        failures: a sentence for each participant who could not be mapped now.
    """

    folder: Path
    people: tuple[str, ...]
    failures: tuple[str, ...]

    def raise_failures(self) -> None:
        """Make the command fail if a participant could not be mapped.

        Raises:
            InputProblems: naming them.
        """
        if self.failures:
            raise InputProblems(f"Mapping (all of it: {self.folder.parent / PAGE})", self.failures)


def map_people(
    output_dir: str, people: Sequence[Scans], target: Target, settings: MappingSettings, progress: bool = True
) -> MappedCohort:
    """Make all participants' maps and write `0_mapped/`; steps that were done are not repeated.

    Writes `cohort/<id>/<id>_<map>.nii.gz` and `cohort/participants.tsv` (what `--dataset_dir` of other stages takes),
    `work/<id>/` (each step's images and JSON sidecar), `mapping.tsv` and `mapping.html`. Table, page and participants
    hold participants of earlier calls too; who failed now has no maps there any more. They are written after 1, 2, 4, 8, ...
    participants and at the end, also of a run that is interrupted.

    Args:
        output_dir: results folder.
        people: their scans.
        target: template and grid.
        settings: see `MappingSettings`.
        progress: show bars.

    Returns:
        The cohort folder, who is in it, and who could not be mapped.

    Raises:
        InputProblems: for a library that is missing, warps that cannot be used, and other settings than those of participants mapped before.
        OSError: if the disk is full.
    """
    for library in settings.libraries:
        needed(library)
    if settings.registration == "given":
        _check_warps(people)
    folder = stage_folder(output_dir, MAPPED)
    names = [scans.participant_id for scans in people]
    refuse_other_settings(folder, names, target, settings)
    pages: list[MappedPerson] = []
    failures: list[str] = []
    write_participants(folder, names)  # not listed while their maps may be half new, should this be killed
    try:
        for number, scans in enumerate(people, start=1):
            logger.info("%s, participant %d of %d", scans.participant_id, number, len(people))
            (folder / WORK / scans.participant_id / RECORD).unlink(missing_ok=True)
            page, row = _map_person(scans, target, settings, folder, progress)
            write_record(page, row)
            pages.append(page)
            failures += [f"{scans.participant_id}: {page.failure}"] if page.failure else []
            if number.bit_count() == 1 and number < len(
                people
            ):  # the page holds all participants: each time is quadratic
                write_participants(folder, names[number:])
                write_page(folder, target, settings)
    finally:
        listed = write_participants(folder)
        write_page(folder, target, settings)
    mapped = sum(not page.failure for page in pages)
    logger.info(
        "%d of %d participants mapped. Look at %s before you believe the maps.", mapped, len(people), folder / PAGE
    )
    for page in pages:
        for sentence in [*page.worries, *page.notes]:
            logger.info("  %s: %s", page.participant_id, sentence)
    return MappedCohort(folder / COHORT, tuple(listed), tuple(failures))


def _check_warps(people: Sequence[Scans]) -> None:
    """All participants' warps at once, as far as their headers say."""
    problems = []
    for scans in people:
        try:
            if "warp" in scans.files:
                check_warp(scans.files["warp"], scans.files.get("warp_reference"))
        except InputProblems as error:
            problems += [f"{scans.participant_id}: {problem}" for problem in error.problems]
    if problems:
        raise InputProblems("Registration", problems)


def _map_person(
    scans: Scans, target: Target, settings: MappingSettings, folder: Path, progress: bool
) -> tuple[MappedPerson, dict[str, Any]]:
    """The participant's part of the page and row of the table."""
    name = scans.participant_id
    work, maps_folder = folder / WORK / name, folder / COHORT / name
    work.mkdir(parents=True, exist_ok=True)
    maps_folder.mkdir(parents=True, exist_ok=True)
    try:
        person = Work(scans, target, settings, work, progress)
        facts = map_person(person, maps_folder)
        pictures = _draw(person, maps_folder, facts)
    except Exception as error:  # whatever libraries raise on one participant's files; the others go on
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise  # a full disk is all participants'
        if not isinstance(error, InputProblems):
            logger.exception("%s could not be mapped", name)
        words = _words_of(error)
        for stale in maps_folder.glob("*.nii.gz"):  # also those of an earlier call
            stale.unlink()
        drawn = [file.stem for file in sorted(work.glob("*.jpg"))]
        return MappedPerson(name, work, drawn, [], [], [], words), {"participant_id": name, "status": "failed", "reason": words}  # fmt: skip
    notes = list(facts.get("alignment", {}).get("notes", []))
    reasons = {reason: [m for m in facts["refused"] if facts["refused"][m] == reason] for reason in facts["refused"].values()}  # fmt: skip
    notes = [f"{' and '.join(maps)} not made: {reason}." for reason, maps in reasons.items()] + [f"{note}." for note in notes]  # fmt: skip
    worries = worries_of(facts)
    row = {
        "participant_id": name,
        "status": "look" if worries else "ok",
        "reason": " ".join([*worries, *notes]),
        **{m: int((maps_folder / f"{name}_{m}.nii.gz").is_file()) for m in MAPS},
        **{label: value for label, _, value in figures_of(facts)},
    }
    return MappedPerson(name, work, pictures, [(words, f"{value:.4g}") for _, words, value in figures_of(facts)], worries, notes), row  # fmt: skip


def _words_of(error: Exception) -> str:
    """One line for page and table; ITK's last line says what was wrong, the ones before where in its embedding."""
    if isinstance(error, InputProblems):
        return " ".join(error.problems)
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__


def _draw(person: Work, maps_folder: Path, facts: Mapping[str, Any]) -> list[str]:
    """The step `pictures`; the names that were drawn."""
    name, target, is_log = person.scans.participant_id, person.target, person.settings.maps.jacobian == "log"
    maps = {m: maps_folder / f"{name}_{m}.nii.gz" for m in MAPS if (maps_folder / f"{name}_{m}.nii.gz").is_file()}

    def make() -> dict[str, Any]:
        return {"drawn": draw_overlays(person.folder, maps, read_warp(person, facts["warp"]), target, is_log)}

    parameters = {"jacobian": person.settings.maps.jacobian, "template": target.fingerprint}
    inputs = [*(person.file(file) for file in ("t1w.nii.gz", "brain_mask.nii.gz", "warp.nii.gz")), *maps.values()]
    outputs = ["brain.jpg", "template.jpg", *(f"{m.lower()}.jpg" for m in MAPS[1:] if m in maps)]
    return person.step("pictures", parameters, inputs, outputs, make)["drawn"]


def closing_words(mapped: MappedCohort) -> None:
    """What comes next.

    Raises:
        InputProblems: if a participant could not be mapped.
    """
    mapped.raise_failures()
    logger.info(
        "Next: %s --dataset_dir %s, or the run stratifying of configs/map.yaml, which goes on to strata.",
        shown_command("embedding", "inference.yaml"),
        mapped.folder,
    )
