"""Raw scans to the four maps, on the network's grid; and if asked on to codes and strata."""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from bundle.data.atomic import atomic_path
from bundle.data.problems import InputProblems
from bundle.data.tables import write_table
from bundle.mapping.brain import METHODS
from bundle.mapping.model_grid import MapSettings
from bundle.mapping.optional import needed
from bundle.mapping.overlays import draw_overlays
from bundle.mapping.person import REGISTRATIONS, MappingSettings, PersonMapper
from bundle.mapping.scans import Scans
from bundle.mapping.steps import read_sidecar, run_step
from bundle.mapping.target import Target
from bundle.mapping.warp import Warp
from bundle.mapping.worries import figures_of, worries_of
from bundle.paths import (
    ASSIGNED,
    BEST_MODEL,
    CLUSTERS,
    COHORT,
    MAPPED,
    PARTICIPANTS,
    STRATIFIER,
    TRAINING,
    stage_folder,
)
from bundle.report.mapping_page import MappedPerson, render_mapping
from bundle.running.stage_process import run_stage

logger = logging.getLogger(__name__)
WORK, PAGE, TABLE, RECORD = "work", "mapping.html", "mapping.tsv", "person.json"
MAPS = ("T1w", "FA", "NDI", "JAC")
LIBRARIES = ("SimpleITK", "dipy.reconst.dti")
EMBEDDING, ASSIGNING = ("embedding", "configs/inference.yaml"), ("assigning", "configs/assign.yaml")


@dataclass(frozen=True)
class MappedCohort:
    """What mapping leaves.

    Attributes:
        folder: the cohort, for `--dataset_dir`.
        people: ids in it, of earlier calls too.
        failures: a sentence for each person who could not be mapped now.
    """

    folder: Path
    people: tuple[str, ...]
    failures: tuple[str, ...]

    def raise_failures(self) -> None:
        """Make the command fail if somebody could not be mapped.

        Raises:
            InputProblems: naming them.
        """
        if self.failures:
            raise InputProblems(f"Mapping (all of it: {self.folder.parent / PAGE})", self.failures)


def map_people(
    output_dir: str,
    people: Sequence[Scans],
    target: Target,
    brain_mask: str = "auto",
    registration: str = "demons",
    jacobian: str = "log",
    jacobian_affine: str = "excluded",
    t1w_white_matter: float | None = 800.0,
    device: Any = "cpu",
    progress: bool = True,
) -> MappedCohort:
    """Make everybody's maps and write `0_mapped/`; steps that were done are not repeated.

    Writes `cohort/<id>/<id>_<map>.nii.gz` and `cohort/participants.tsv` (what `--dataset_dir` of other stages takes),
    `work/<id>/` (each step's images and JSON sidecar), `mapping.tsv` and `mapping.html`. Table, page and participants
    hold people of earlier calls too; who failed now has no maps there any more.

    Args:
        output_dir: results folder.
        people: their scans.
        target: template and grid.
        brain_mask: `auto` | `given` | `deepbet` | `template`.
        registration: `demons` | `given`.
        jacobian, jacobian_affine, t1w_white_matter: see `MapSettings`.
        device: where NODDI is computed.
        progress: show bars.

    Returns:
        The cohort folder, who is in it, and who could not be mapped.

    Raises:
        InputProblems: for wrong settings.
        OSError: if the disk is full.
    """
    problems = [f"--{name} must be one of {', '.join(known)}, got {value!r}." for name, value, known in (("brain_mask", brain_mask, METHODS), ("registration", registration, REGISTRATIONS)) if value not in known]  # fmt: skip
    if problems:
        raise InputProblems("Mapping", problems)
    for library in LIBRARIES:
        needed(library)
    settings = MappingSettings(
        brain_mask, registration, MapSettings(jacobian, jacobian_affine, t1w_white_matter), device=str(device)
    )
    folder = stage_folder(output_dir, MAPPED)
    pages: list[MappedPerson] = []
    failures: list[str] = []
    listed: list[str] = []
    for number, scans in enumerate(people, start=1):
        logger.info("%s, person %d of %d", scans.participant_id, number, len(people))
        (folder / WORK / scans.participant_id / RECORD).unlink(missing_ok=True)
        _write_participants(folder)  # not listed until mapped again, should this be broken off
        page, row = _map_person(scans, target, settings, folder, progress)
        _write_record(page, row)
        pages.append(page)
        failures += [f"{scans.participant_id}: {page.failure}"] if page.failure else []
        _write_page(folder, target, settings)
        listed = _write_participants(folder)
    mapped = sum(not page.failure for page in pages)
    logger.info("%d of %d people mapped. Look at %s before you believe the maps.", mapped, len(people), folder / PAGE)
    for page in pages:
        for sentence in [*page.worries, *page.notes]:
            logger.info("  %s: %s", page.participant_id, sentence)
    return MappedCohort(folder / COHORT, tuple(listed), tuple(failures))


def _map_person(
    scans: Scans, target: Target, settings: MappingSettings, folder: Path, progress: bool
) -> tuple[MappedPerson, dict[str, Any]]:
    """The person's part of the page and row of the table."""
    name = scans.participant_id
    work, maps_folder = folder / WORK / name, folder / COHORT / name
    work.mkdir(parents=True, exist_ok=True)
    maps_folder.mkdir(parents=True, exist_ok=True)
    try:
        facts = PersonMapper(scans, target, settings, work, maps_folder, progress).run()
        pictures = _draw(work, maps_folder, name, facts, target, settings)
    except Exception as error:  # whatever libraries raise on one person's files; the others go on
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise  # a full disk is everybody's
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
    """One line for page and table; ITK's last line says what was wrong, the ones before where in its code."""
    if isinstance(error, InputProblems):
        return " ".join(error.problems)
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__


def _draw(
    work: Path, maps_folder: Path, name: str, facts: Mapping[str, Any], target: Target, settings: MappingSettings
) -> list[str]:
    maps = {m: maps_folder / f"{name}_{m}.nii.gz" for m in MAPS if (maps_folder / f"{name}_{m}.nii.gz").is_file()}

    def make() -> dict[str, Any]:
        image: Any = nib.load(work / "warp.nii.gz")
        displacement = np.moveaxis(np.asarray(image.dataobj, dtype=np.float32), -1, 0)
        warp = Warp(displacement, image.affine, np.array(facts["warp"]["affine"]))
        return {"drawn": draw_overlays(work, maps, warp, target, settings.maps.jacobian == "log")}

    parameters = {"jacobian": settings.maps.jacobian, "template": target.fingerprint}
    inputs = [work / "t1w.nii.gz", work / "brain_mask.nii.gz", work / "warp.nii.gz", *maps.values()]
    outputs = ["brain.jpg", "template.jpg", *(f"{m.lower()}.jpg" for m in MAPS[1:] if m in maps)]
    return run_step(work, "pictures", parameters, inputs, outputs, make)[0]["drawn"]


def _write_record(page: MappedPerson, row: Mapping[str, Any]) -> None:
    """Leave what page and table say of a person beside their steps, for later calls that map other people."""
    told = {key: value for key, value in asdict(page).items() if key != "folder"}
    with atomic_path(page.folder / RECORD) as temporary:
        temporary.write_text(json.dumps({"page": told, "row": dict(row)}, indent=1))


def _records(folder: Path) -> list[tuple[MappedPerson, dict[str, Any]]]:
    """Page and row of everybody who was mapped or failed, also in earlier calls."""
    files = sorted((folder / WORK).glob(f"*/{RECORD}"))
    records = [(file.parent, read_sidecar(file)) for file in files]
    return [(MappedPerson(folder=work, **record["page"]), record["row"]) for work, record in records if record]


def _write_page(folder: Path, target: Target, settings: MappingSettings) -> None:
    records = _records(folder)
    write_table(pd.DataFrame([row for _, row in records]), folder / TABLE)
    told = {
        "Template": target.name,
        "Registration": f"{settings.registration}, at {target.template.spacing.mean():g} mm",
        "Network's grid": f"{' x '.join(map(str, target.shape))} voxels of {np.linalg.norm(target.affine[:3, 0]):g} mm",
        "JAC": f"{settings.maps.jacobian} determinants, head size {settings.maps.jacobian_affine}",
        "T1w": "the scanner's units" if settings.maps.t1w_white_matter is None else f"white matter is {settings.maps.t1w_white_matter:g}",
        "FA": "dipy, weighted least squares, b up to 1500 s/mm2",
        "NDI": "Watson-NODDI on a grid of tissues, Rician noise, tissue frequencies learnt from the brain",
    }  # fmt: skip
    with atomic_path(folder / PAGE) as temporary:
        temporary.write_text(render_mapping([page for page, _ in records], told), encoding="utf-8")


def _write_participants(folder: Path) -> list[str]:
    """The ids of everybody who was mapped to the end and whose maps are all there, also from earlier calls."""
    cohort, names = folder / COHORT, []
    for page, row in _records(folder):
        name = page.participant_id
        maps = [cohort / name / f"{name}_{m}.nii.gz" for m in MAPS if row.get(m)]
        if not page.failure and all(file.is_file() for file in maps):
            names.append(name)
    with atomic_path(cohort / PARTICIPANTS) as temporary:
        temporary.write_text("\n".join(["participant_id", *names]) + "\n")
    return names


def closing_words(mapped: MappedCohort) -> None:
    """What comes next.

    Raises:
        InputProblems: if somebody could not be mapped.
    """
    mapped.raise_failures()
    logger.info(
        "Next: python -m monai.bundle run embedding --config_file configs/inference.yaml --dataset_dir %s, or the run "
        "stratifying of configs/map.yaml, which goes on to strata.",
        mapped.folder,
    )


def embed_and_assign(
    output_dir: str,
    model: tuple[Path, Path],
    mapped: MappedCohort,
    options: Mapping[str, Any],
    embedding: Mapping[str, Any] | None = None,
    participants: str | None = None,
) -> pd.DataFrame:
    """Run `embedding` and `assigning` on mapped people, each in a process of its own as a user would.

    Args:
        output_dir: results folder; `4_embeddings/` and `5_assigned/` are written in it.
        model: weights and stratifier, see `find_model`.
        mapped: the cohort; who could not be mapped is told of when the others are assigned.
        options: handed on to embedding (`modalities`, `fusion`, ...).
        embedding: what embedding is to do otherwise; the value of a part such as `network_def` may be its file.
        participants: table with the stratifier's covariates.

    Returns:
        `5_assigned/assignments.tsv`.

    Raises:
        StageFailed: if a stage fails, with what it said last.
        InputProblems: at once if nobody was mapped, at the end if somebody was not.
    """
    if not mapped.people:
        mapped.raise_failures()
    checkpoint, stratifier = model
    logs = stage_folder(output_dir, MAPPED) / "logs"
    wanted = {key: f"%{value}" if isinstance(value, str) and value.endswith(".yaml") else value for key, value in (embedding or {}).items()}  # fmt: skip
    run_stage(EMBEDDING[0], [EMBEDDING[1]], {"output_dir": output_dir, "dataset_dir": str(mapped.folder), "checkpoint": str(checkpoint), **options, **wanted}, logs / "embedding.log")  # fmt: skip
    given = {"participants": participants} if participants else {}
    run_stage(ASSIGNING[0], [ASSIGNING[1]], {"output_dir": output_dir, "stratifier": str(stratifier), **given}, logs / "assigning.log")  # fmt: skip
    file = stage_folder(output_dir, ASSIGNED) / "assignments.tsv"
    table = pd.read_csv(file, sep="\t", dtype={"participant_id": str})
    logger.info("%s\nWritten: %s", table.to_string(index=False), file)
    mapped.raise_failures()
    return table


def find_model(model_dir: str | None) -> tuple[Path, Path]:
    """Weights and stratifier of a results folder.

    Raises:
        InputProblems: if one is not there.
    """
    if model_dir is None:
        raise InputProblems("Model", ["Give --model_dir, the results folder of a network and its strata (2_training/model.pt, 5_clusters/stratifier.npz)."])  # fmt: skip
    folder = Path(model_dir).expanduser().resolve()
    files = (folder / TRAINING / BEST_MODEL, folder / CLUSTERS / STRATIFIER)
    problems = [f"No {file}: run {stage}, or give another --model_dir." for file, stage in zip(files, ("training", "clustering"), strict=True) if not file.is_file()]  # fmt: skip
    if problems:
        raise InputProblems("Model", problems)
    return files
