"""Maps in a participant's own space brought to the grid of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bundle.data.problems import InputProblems
from bundle.data.resampling import resample
from bundle.mapping.target import Target
from bundle.mapping.volume import Volume, apply, read_volume, stored_voxels
from bundle.mapping.warp import Warp

JACOBIANS, AFFINE = ("log", "raw"), ("excluded", "included")
LEAST_TISSUE = 0.1
"""With less of a voxel there is too little tissue to speak of its neurites, and NDI is 0."""


@dataclass(frozen=True)
class MapSettings:
    """What the network was trained on.

    Args:
        jacobian: `log` determinants, as `preparing` makes them and the synthetic cohort has them, or `raw` ones.
        jacobian_affine: whether head size is `included` or `excluded`.
        t1w_white_matter: white matter's value in T1w; None leaves the scanner's units.
    """

    jacobian: str = "log"
    jacobian_affine: str = "excluded"
    t1w_white_matter: float | None = 800.0

    def __post_init__(self) -> None:
        problems = []
        if self.jacobian not in JACOBIANS:
            problems.append(f"--jacobian must be {' or '.join(JACOBIANS)}, got {self.jacobian!r}.")
        if self.jacobian_affine not in AFFINE:
            problems.append(f"--jacobian_affine must be {' or '.join(AFFINE)}, got {self.jacobian_affine!r}.")
        if self.t1w_white_matter is not None and not self.t1w_white_matter > 0:
            problems.append(f"--t1w_white_matter must be above 0, got {self.t1w_white_matter}.")
        if problems:
            raise InputProblems("Maps", problems)


def make_maps(
    folder: Path,
    warp: Warp,
    target: Target,
    t1w_to_dwi: np.ndarray | None,
    names: Sequence[str],
    settings: MapSettings,
) -> tuple[dict[str, Volume], dict[str, Any]]:
    """The maps, 0 outside the brain (JAC: wherever the warp is defined), and facts about them.

    NDI is the mean over the tissue of a voxel of the network's grid, and 0 where less than a tenth of it is tissue.

    Args:
        folder: with what the participant's steps left.
        warp: template to T1w.
        target: template and grid.
        t1w_to_dwi: `(4, 4)` RAS mm.
        names: maps to make.
        settings: see `MapSettings`.
    """
    points = warp.points
    spacing = float(target.template.spacing.mean())
    mask = read_volume(folder / "brain_mask.nii.gz").at(points, spacing)
    facts: dict[str, Any] = {}
    values = {}
    if "T1w" in names:
        t1w = read_volume(folder / "t1w.nii.gz").at(points, spacing)
        white = float(np.median(t1w[target.is_white & (mask > 0.5)])) if (target.is_white & (mask > 0.5)).any() else 0.0
        if white <= 0:
            raise InputProblems("Maps", ["The T1w image is 0 where white matter should be: look at the mapping page; give a brain mask."])  # fmt: skip
        gain = 1.0 if settings.t1w_white_matter is None else settings.t1w_white_matter / white
        facts |= {"white_matter": white, "gain": gain}
        values["T1w"] = t1w * gain * mask
    if t1w_to_dwi is not None:
        in_dwi = apply(t1w_to_dwi, points)
        if "FA" in names:
            values["FA"] = np.clip(_on_scan(folder, "fa").at(in_dwi, spacing), 0, 1) * mask
        if "NDI" in names:
            parts = [part.at(in_dwi, spacing) * mask for part in _neurites_and_tissue(folder)]
            values |= dict(zip(("neurites", "tissue"), parts, strict=True))
    made = {
        name: Volume(resample(value, warp.grid_affine, target.shape, target.affine), target.affine)
        for name, value in values.items()
    }
    if "NDI" in names:
        neurites, tissue = made.pop("neurites"), made.pop("tissue").voxels
        share = np.divide(neurites.voxels, tissue, out=np.zeros_like(tissue), where=tissue >= LEAST_TISSUE)
        made["NDI"] = neurites.like(np.clip(share, 0, 1))
    if "JAC" in names:
        logarithm = np.log(warp.jacobian)
        if settings.jacobian_affine == "included":
            logarithm = logarithm + np.log(warp.affine_determinant)
        jacobian = resample(logarithm, warp.grid_affine, target.shape, target.affine)
        made["JAC"] = Volume(np.exp(jacobian) if settings.jacobian == "raw" else jacobian, target.affine)
    facts |= {f"{name}_median": float(np.median(volume.voxels[volume.voxels != 0])) for name, volume in made.items()}
    return made, facts


def _on_scan(folder: Path, name: str) -> Volume:
    """A map on the scan's grid."""
    image: Any = nib.load(folder / f"{name}.nii.gz")
    return Volume(np.asarray(image.dataobj, dtype=np.float32), image.affine)


def _neurites_and_tissue(folder: Path) -> tuple[Volume, Volume]:
    """What NDI on a coarser grid is the quotient of: neurites and tissue as shares of the scan's voxels.

    Smoothing NDI itself would carry fluid's 0 into thin cortex beside it.

    Source: Parker et al. (2021), NeuroImage 245: tissue-weighted means.
    """
    ndi, free_water = _on_scan(folder, "ndi"), _on_scan(folder, "free_water")
    tissue = np.where(stored_voxels(folder / "dwi_mask.nii.gz") > 0, 1 - free_water.voxels, 0)
    tissue[tissue < LEAST_TISSUE] = 0
    return ndi.like(ndi.voxels * tissue), ndi.like(tissue)
