"""One participant's way from scans to maps: brain, warp, alignment, tensor, NODDI, maps. Each step is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bundle.mapping.brain_step import find_brain
from bundle.mapping.diffusion_steps import map_diffusion
from bundle.mapping.model_grid import make_maps
from bundle.mapping.volume import write_volume
from bundle.mapping.warp_step import find_warp, read_warp
from bundle.mapping.work import Work


def map_person(work: Work, maps_folder: Path) -> dict[str, Any]:
    """Do all steps that can be done; facts of each, and under `refused` why a map was not made (map -> reason).

    Args:
        work: the participant's.
        maps_folder: for the maps, `<id>_<map>.nii.gz`.

    Raises:
        InputProblems: if a step cannot be done with these scans.
    """
    facts = {"brain": find_brain(work), "warp": find_warp(work), **map_diffusion(work)}
    facts["maps"] = _maps(work, maps_folder, facts)
    return facts


def _maps(work: Work, maps_folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The step `maps`: all on the network's grid."""
    used = ["t1w.nii.gz", "brain_mask.nii.gz", "warp.nii.gz"]
    used += ["fa.nii.gz"] if "tensor" in facts else []
    used += ["ndi.nii.gz", "free_water.nii.gz"] if "noddi" in facts else []
    matrix = np.array(facts["alignment"]["t1w_to_dwi"]) if "alignment" in facts else None
    parameters = {
        "shape": list(work.target.shape),
        "affine": work.target.affine.tolist(),
        "settings": asdict(work.settings.maps),
        "ndi": "tissue-weighted",
        "t1w_to_dwi": None if matrix is None else matrix.tolist(),
        "template": work.target.words,
    }
    name = work.scans.participant_id
    names = ["T1w", *(["FA"] if "tensor" in facts else []), *(["NDI"] if "noddi" in facts else []), "JAC"]
    outputs = [str(maps_folder / f"{name}_{m}.nii.gz") for m in names]

    def make() -> dict[str, Any]:
        for stale in maps_folder.glob(f"{name}_*.nii.gz"):
            stale.unlink()  # a map that is refused now
        warp = read_warp(work, facts["warp"])
        made, told = make_maps(work.folder, warp, work.target, matrix, names, work.settings.maps)
        for modality, volume in made.items():
            write_volume(maps_folder / f"{name}_{modality}.nii.gz", volume, code="mni")
        return told

    return work.step("maps", parameters, [work.file(file) for file in used], outputs, make)
