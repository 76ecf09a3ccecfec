"""What was looked for where nothing was found, and the nearest that is there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Sized
from difflib import SequenceMatcher
from pathlib import Path

from bundle.data.findings import MEND, Finding
from bundle.data.layouts import ImageSource

MOST_LOOKED_AT = 20_000
"""Files of a folder that are compared with what was looked for."""
MOST_SHOWN = 3
IMAGE_ENDINGS = (".nii", ".nii.gz", ".mgz", ".mgh", ".img", ".hdr", ".nrrd", ".mha", ".h5")


def nothing_found(
    sources: Mapping[str, ImageSource],
    found: Mapping[str, Sized],
    folders: Sequence[Path],
    fixed: Mapping[str, str],
) -> list[Finding]:
    """A finding for each map that no participant has, with the patterns that were tried and the nearest files that are there.

    Args:
        sources: modality -> where it is.
        found: modality -> images.
        folders: where to look for near files; the first is where relative patterns start.
        fixed: placeholder -> what it stands for.
    """
    absent = [modality for modality, source in sources.items() if source.files and not found.get(modality)]
    if not absent:
        return []
    files = _images_in(folders)
    findings = []
    for modality in absent:
        patterns = [_shown(pattern, fixed) for pattern in sources[modality].files]
        tried = " or ".join(patterns[:MOST_SHOWN]) + (f" or {len(patterns) - MOST_SHOWN} others" if len(patterns) > MOST_SHOWN else "")  # fmt: skip
        near = nearest_files(patterns, files, folders[0])
        told = (
            f"the nearest files are {', '.join(near)}"
            if near
            else f"there is no image in {' or in '.join(map(str, folders))}"
        )
        findings.append(
            Finding("", modality, MEND, f"no participant has a file: looked in {folders[0]} for {tried}; {told}",
                    "give the folder that the patterns start at (--dataset_dir, --derivatives), or correct them in the layout")
        )  # fmt: skip
    return findings


def nearest_files(patterns: Sequence[str], files: Sequence[Path], folder: Path) -> list[str]:
    """Paths that look most like one of the patterns, the best first, from the folder on if they are in it."""

    def likeness(file: Path, pattern: str) -> float:
        own = str(file.relative_to(folder)) if file.is_relative_to(folder) else str(file)
        matcher = SequenceMatcher(None, Path(pattern).name.lower(), file.name.lower(), autojunk=False)
        return 2 * matcher.ratio() + SequenceMatcher(None, pattern.lower(), own.lower(), autojunk=False).ratio()

    by_name = {
        (file.suffixes[-1:] and file.name.split("_")[-1], file.parent.name): file for file in files
    }  # one of each kind
    best = sorted(by_name.values(), key=lambda file: max(likeness(file, pattern) for pattern in patterns), reverse=True)
    return [str(file.relative_to(folder)) if file.is_relative_to(folder) else str(file) for file in best[:MOST_SHOWN]]


def _images_in(folders: Sequence[Path]) -> list[Path]:
    files: dict[Path, None] = {}
    for folder in folders:
        for number, (where, _, names) in enumerate(os.walk(folder)):
            files |= {Path(where, name): None for name in names if name.endswith(IMAGE_ENDINGS)}
            if len(files) > MOST_LOOKED_AT or number > MOST_LOOKED_AT:
                break
    return sorted(files)[:MOST_LOOKED_AT]


def _shown(pattern: str, fixed: Mapping[str, str]) -> str:
    for name, value in fixed.items():
        pattern = pattern.replace("{" + name + "}", value)
    return pattern
