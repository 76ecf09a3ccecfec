"""Participants's raw scans, as they lie on disk by a list of file patterns, or as files that the user names."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bundle.data.file_patterns import ANY_ID
from bundle.data.grids import SAME_GRID_MM, corners_apart_mm
from bundle.data.image_choice import RULES, choose, existing_files
from bundle.data.layouts import ImageSource
from bundle.data.participants import check_ids
from bundle.data.problems import InputProblems
from bundle.mapping.gradients import Gradients, read_gradients

logger = logging.getLogger(__name__)
NAMES = ("T1w", "T1w_mask", "DWI", "bvals", "bvecs", "DWI_mask", "warp", "warp_reference")
DIFFUSION = ("DWI", "bvals", "bvecs")
ENTRIES = ("name", "ids", "derivatives", "dwi_in_t1w_space", "files")


@dataclass(frozen=True)
class Scans:
    """One participant's files; `T1w` is always there, the three of `DIFFUSION` together or not at all.

    Attributes:
        participant_id: whose.
        files: name (of `NAMES`) -> file.
        gradients: of the DWI; None without one.
        dwi_in_t1w_space: whether headers put DWI and T1w on each other already.
    """

    participant_id: str
    files: Mapping[str, Path]
    gradients: Gradients | None
    dwi_in_t1w_space: bool


def find_scans(
    scans: Mapping[str, Any],
    dataset_dir: str | None,
    derivatives: str | None,
    files: Mapping[str, str] | None,
    participant_id: str | None,
    participant_ids: str | int | Sequence[str | int] | None,
    session: str | None,
    registration: str = "given",
) -> list[Scans]:
    """All participants' scans, checked as far as headers and gradient tables say.

    Args:
        scans: content of a file of `configs/scans/`.
        dataset_dir: folder that its patterns start at.
        derivatives: folder that `{derivatives}` stands for; None is what `scans` says, in `dataset_dir`.
        files: name -> file of one participant, instead of a folder.
        participant_id: of that participant.
        participant_ids: id or ids to map; None: all participants.
        session: `first`, `last`, a label, or None: refuse where a participant has several.
        registration: how images are registered; a warp among `files` is for `given` alone.

    Raises:
        InputProblems: with all that is wrong.
    """
    if (dataset_dir is None) == (files is None) or (files is None) != (participant_id is None):
        raise InputProblems("Scans", ["Give either --dataset_dir, or --files \"{'T1w': 't1.nii.gz', 'DWI': 'dwi.nii.gz', 'bvals': ..., 'bvecs': ...}\" with --participant_id."])  # fmt: skip
    _check_scans(scans)
    session = None if session is None else str(session)  # the command line makes a number of 2
    if files is not None and session is not None:
        raise InputProblems("Scans", [f"--session {session} chooses among scans of --dataset_dir; beside --files it would do nothing: leave it out."])  # fmt: skip
    if files is not None and "warp" in files and registration != "given":
        raise InputProblems("Scans", [f"--files names a warp, which --registration {registration} does not read: give --registration given, or leave the warp out."])  # fmt: skip
    if files is not None:
        found = {str(participant_id): {name: Path(file).expanduser() for name, file in _named(files).items()}}
    else:
        found = _in_folder(scans, Path(str(dataset_dir)).expanduser().resolve(), derivatives, session)
        if participant_ids is not None:
            wanted = [
                str(name) for name in ([participant_ids] if isinstance(participant_ids, str | int) else participant_ids)
            ]
            strangers = [f"--participant_ids: no participant is called {name}." for name in wanted if name not in found]
            if strangers:
                raise InputProblems("Scans", strangers)
            found = {name: found[name] for name in wanted}
    problems = check_ids(list(found), str(dataset_dir or "--participant_id"))
    people = []
    for name, own in found.items():
        try:
            gradients = _check_person(own)
        except InputProblems as error:
            problems += [f"{name}: {problem}" for problem in error.problems]
            continue
        people.append(Scans(name, own, gradients, bool(scans.get("dwi_in_t1w_space", False))))
    if problems:
        raise InputProblems("Scans", problems)
    return people


def _check_scans(scans: Mapping[str, Any]) -> None:
    problems = [f"Unknown entry {key!r}: known are {', '.join(ENTRIES)}." for key in scans if key not in ENTRIES]  # fmt: skip
    problems += [f"files: unknown {key!r}: known are {', '.join(NAMES)}." for key in scans.get("files", {}) if key not in NAMES]  # fmt: skip
    problems += [
        f"files: {key}: expected patterns, or a mapping of files and without, got {entry!r:.60}."
        for key, entry in scans.get("files", {}).items()
        if isinstance(entry, Mapping) and ("files" not in entry or set(entry) - {"files", "without"})
    ]
    if "name" not in scans:
        problems.append("no name: add one for messages, such as 'name: our scanner'.")
    if "T1w" not in scans.get("files", {}):
        problems.append("files: no patterns for T1w.")
    if problems:
        raise InputProblems(f"--scans {scans.get('name', '')}", problems)


def _named(files: Mapping[str, str]) -> Mapping[str, str]:
    problems = [f"--files: unknown {name!r}: known are {', '.join(NAMES)}." for name in files if name not in NAMES]
    problems += [f"--files: {name} is not at {file}." for name, file in files.items() if not Path(file).expanduser().is_file()]  # fmt: skip
    if problems:
        raise InputProblems("Scans", problems)
    return files


def _in_folder(
    scans: Mapping[str, Any], folder: Path, derivatives: str | None, session: str | None
) -> dict[str, dict[str, Path]]:
    if not folder.is_dir():
        raise InputProblems("Scans", [f"--dataset_dir {folder} is no folder."])
    sources = {name: _source(entry) for name, entry in scans["files"].items()}
    derived = (
        Path(derivatives).expanduser().resolve() if derivatives else folder / scans.get("derivatives", "derivatives")
    )
    fixed = {"derivatives": str(derived)}
    found, findings = existing_files(sources, folder, fixed, ("native",), scans.get("ids", ANY_ID))
    names = sorted({image.participant_id for images in found.values() for image in images})
    choices, several = choose(found, names, session, None)
    problems = [finding.sentence for finding in [*findings, *several]]
    known = sorted({image.session for images in found.values() for image in images if image.session})
    if names and session is not None and session not in (*RULES, *known):
        problems.append(f"--session {session}: no participant has it: " + (f"sessions are {', '.join(known)}." if known else "file names tell no sessions."))  # fmt: skip
    elsewhere = [name for name in names if name not in choices]
    if elsewhere and not problems:
        logger.warning("%d participants have no scan of session %s and are left out: %s.", len(elsewhere), session, ", ".join(elsewhere[:20]))  # fmt: skip
    if not names:
        shown = " or ".join(sources["T1w"].files)
        problems.append(f"{folder}: no scan of {scans['name']} in it: expected {shown}; another source: --scans.")
    if problems:
        raise InputProblems("Scans", problems)
    return {name: dict(choice.files) for name, choice in choices.items()}


def _source(entry: Any) -> ImageSource:
    """Patterns of one kind of file: one, a list of them, or `files` and `without`, patterns of names that are not meant."""
    entry = entry if isinstance(entry, Mapping) else {"files": entry}
    words = {name: (value,) if isinstance(value, str) else tuple(value) for name, value in entry.items()}
    return ImageSource(files=words["files"], without=words.get("without", ()))


def _check_person(files: Mapping[str, Path]) -> Gradients | None:
    """The gradients, if there is diffusion.

    Raises:
        InputProblems: for what is missing, cannot be read or does not go together.
    """
    problems = []
    if "T1w" not in files:
        problems.append("has no T1w image, which everything starts from.")
    absent = [name for name in DIFFUSION if name not in files]
    if 0 < len(absent) < len(DIFFUSION):
        there = ", ".join(str(files[name]) for name in DIFFUSION if name in files)
        problems.append(f"has {there}, but no {' and no '.join(absent)}: add it, or move the others away.")
    shapes, affines = {}, {}
    for name in ("T1w", "T1w_mask", "DWI", "DWI_mask"):
        if name not in files:
            continue
        try:
            image: Any = nib.load(files[name])
            shapes[name], affines[name] = image.shape, image.affine
        except Exception as error:  # whatever a broken file makes the reader raise
            problems.append(f"{name}, {files[name]}: cannot be read ({error}): copy or make it again.")
    if "DWI" in shapes and len(shapes["DWI"]) != 4:
        problems.append(f"DWI, {files['DWI']}: expected four axes, the last for volumes, got {shapes['DWI']}.")
    for mask, image in (("T1w_mask", "T1w"), ("DWI_mask", "DWI")):
        if mask not in shapes or image not in shapes:
            continue
        if shapes[mask][:3] != shapes[image][:3] or np.prod(shapes[mask][3:]) != 1:
            problems.append(f"{mask}, {files[mask]}: expected the grid {shapes[image][:3]} of {files[image]}, got {shapes[mask]}.")  # fmt: skip
        elif corners_apart_mm(shapes[mask], affines[mask], affines[image]) > SAME_GRID_MM:
            problems.append(f"{mask}, {files[mask]}: lies elsewhere than {files[image]}: expected the affine {_rows(affines[image])}, got {_rows(affines[mask])}: resample the mask to that image, or copy the image's header if only the mask's header is wrong.")  # fmt: skip
    if absent or problems:
        if problems:
            raise InputProblems("Scans", problems)
        return None
    return read_gradients(files["bvals"], files["bvecs"], shapes["DWI"][3])


def _rows(affine: np.ndarray) -> list[list[float]]:
    """An affine's three rows for participants."""
    return [[round(float(value), 3) for value in row] for row in affine[:3]]
