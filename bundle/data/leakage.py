"""Images that stand for more than one participant or map: the participants of a test would be known to the training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from bundle.data.datalist import Item, present_modalities
from bundle.data.findings import MEND, Finding, Job, to_mend


def shared_files(items: Sequence[Item], modalities: Sequence[str]) -> list[Finding]:
    """A finding for each file that stands for more than one image: participants would leak into each other."""
    owners: dict[Path, list[str]] = defaultdict(list)
    for item in items:
        for modality in present_modalities(item, modalities):
            owners[Path(item[modality]).resolve()].append(f"{item['participant_id']} {modality}")
    return [
        Finding("", "", MEND, f"{path} is given for {' and '.join(names)}", "each image needs its own")
        for path, names in owners.items()
        if len(names) > 1
    ]


def same_images(items: Sequence[Item], modalities: Sequence[str], hashes: Mapping[str, str]) -> list[Finding]:
    """A finding for each image that shows the voxels of another; one file given twice is for `shared_files`.

    Args:
        items: all participants, with the paths of their images.
        modalities: which paths to compare, also with each other.
        hashes: path -> hash of its voxels.
    """
    owners: dict[str, list[Job]] = defaultdict(list)
    for item in items:
        for modality in present_modalities(item, modalities):
            path = item[modality]
            if path in hashes and path not in {known for _, _, known in owners[hashes[path]]}:
                owners[hashes[path]].append((item["participant_id"], modality, path))
    findings = []
    for group in owners.values():
        for job in group:
            others = " and ".join(f"{name} {modality} ({path})" for name, modality, path in group if path != job[2])
            if others:
                findings.append(to_mend(job, f"shows the same voxels as {others}", "keep the right one"))
    return findings
