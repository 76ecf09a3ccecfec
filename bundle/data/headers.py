"""What the headers of images say, without reading their voxels."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import nibabel as nib

from bundle.data.check import (
    ImageFacts,
    canonical_grid,
    grid_problems,
    not_three_axes,
    read_to_the_end,
    stored_as,
    to_mend,
    unreadable,
)
from bundle.data.findings import LOOK, MEND, Finding, Job
from bundle.data.geometry import geometry_problem

FEW_OTHERWISE = 0.25
"""Share of a map's images above which directions are a matter of scanners or sites, not of single files."""


def inspect_header(job: Job) -> ImageFacts:
    """Grid and affine of one image, or what its header says is wrong.

    A compressed file whose last bytes do not give the length that the header asks for is read to its end to be sure.
    """
    path = job[2]
    try:
        image: Any = nib.load(path)
        if image.ndim != 3:
            return not_three_axes(job, image)
        if problem := geometry_problem(image):
            return ImageFacts(problem=to_mend(job, *problem))
        length = int(image.dataobj.offset) + prod(image.shape) * image.get_data_dtype().itemsize
        if path.endswith(".gz"):
            if _told_length(path) != length % 2**32:
                read_to_the_end(path)
        elif Path(path).suffix == ".nii" and Path(path).stat().st_size < length:
            raise EOFError(f"it has {Path(path).stat().st_size} bytes, its header asks for {length}")
        return ImageFacts(*canonical_grid(image), stored=stored_as(image))
    except Exception as error:  # whatever a broken file makes the reader raise is this file's problem
        return unreadable(job, error)


def _told_length(path: str) -> int:
    """Length of the decompressed file modulo 2^32, from the last four bytes of a gzip file."""
    with Path(path).open("rb") as stream:
        stream.seek(-4, os.SEEK_END)
        return int.from_bytes(stream.read(4), "little")


def compare_grids(
    jobs: Sequence[Job], facts: Sequence[ImageFacts], spatial_size: Sequence[int] | None
) -> list[Finding]:
    """A finding for each image whose grid or affine is not that of most files.

    Args:
        jobs: which image.
        facts: what each is like.
        spatial_size: the network's grid; None if images are to be resampled to it, so that each map may have its own.
    """
    by_modality: dict[str, list[int]] = {}
    for row, (job, fact) in enumerate(zip(jobs, facts, strict=True)):
        if not fact.problem:
            by_modality.setdefault(job[1], []).append(row)
    usual = {m: _most_common([facts[row] for row in rows]) for m, rows in by_modality.items()}
    groups = list(by_modality.values())
    findings = []
    if spatial_size is not None:
        if len(set(usual.values())) > 1:
            told = ", ".join(f"{m} {' x '.join(map(str, shape))}" for m, shape in usual.items())
            findings.append(Finding("", "", MEND, f"maps are on different grids ({told}), training needs one", "preparing --resample True brings them to one"))  # fmt: skip
        else:
            groups = [[row for rows in groups for row in rows]]
    for rows in groups:
        findings += grid_problems([jobs[row] for row in rows], [facts[row] for row in rows], spatial_size)
    return findings


def stored_otherwise(jobs: Sequence[Job], facts: Sequence[ImageFacts]) -> list[Finding]:
    """A finding to look at for each image stored in other directions than nearly all of its map.

    Images are turned by their headers, so this is no fault by itself; but a header that was changed without the voxels
    exchanges left and right, and in a cohort that is nearly symmetric nothing else shows it.
    """
    findings = []
    for modality in dict.fromkeys(job[1] for job in jobs):
        own = [(job, fact.stored) for job, fact in zip(jobs, facts, strict=True) if job[1] == modality and fact.stored]
        counts = Counter(stored for _, stored in own).most_common()
        others = [(job, stored) for job, stored in own if stored != counts[0][0]]
        if len(others) <= FEW_OTHERWISE * len(own):
            findings += [
                Finding(*job[:2], LOOK, f"is stored {stored}, {counts[0][1]} of {len(own)} files of {modality} {counts[0][0]}: left and right may be exchanged",
                        "look whether its left is the participant's left", job[2])
                for job, stored in others
            ]  # fmt: skip
    return findings


def _most_common(facts: Sequence[ImageFacts]) -> tuple[int, ...]:
    shapes = [fact.shape for fact in facts]
    return max(set(shapes), key=shapes.count)
