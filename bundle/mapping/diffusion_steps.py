"""The steps of a diffusion scan: `alignment` with the T1w image, `tensor`, `noddi`."""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from bundle.data.problems import InputProblems
from bundle.mapping.amico_noddi import fit_amico
from bundle.mapping.brain import mask_of_unweighted
from bundle.mapping.diffusion import masked_signals, mean_unweighted
from bundle.mapping.gradients import Gradients, why_no_noddi, why_no_tensor
from bundle.mapping.noddi import NoddiMaps, fit_noddi
from bundle.mapping.registration import dilated, register_linear
from bundle.mapping.tensor import fit_tensor
from bundle.mapping.volume import Volume, apply, grid_points, read_volume, stored_voxels, write_volume
from bundle.mapping.work import Work

FAR_APART_MM = 40.0
"""Centres of DWI and T1w further apart than this were not scanned in one place: headers are no start."""
NODDI_OUTPUTS = ("ndi.nii.gz", "odi.nii.gz", "free_water.nii.gz")


def map_diffusion(work: Work) -> dict[str, Any]:
    """Do what can be done with the scan; facts of each step, and under `refused` why a map was not made (map -> reason).

    Raises:
        InputProblems: if a step cannot be done with this scan.
    """
    gradients = work.scans.gradients
    if gradients is None:
        return {"refused": dict.fromkeys(("FA", "NDI"), "there is no diffusion scan")}
    no_tensor, no_noddi = why_no_tensor(gradients), why_no_noddi(gradients)
    if no_tensor:
        return {"refused": dict.fromkeys(("FA", "NDI"), no_tensor)}
    facts = {"refused": {}, "alignment": align(work, gradients)}
    scan = DiffusionScan(work, gradients)
    facts["tensor"] = scan.tensor()
    if no_noddi:
        facts["refused"] = {"NDI": no_noddi}
    else:
        facts["noddi"] = scan.noddi()
    return facts


def align(work: Work, gradients: Gradients) -> dict[str, Any]:
    """Leave `b0.nii.gz` and `dwi_mask.nii.gz`; the rigid map from T1w to DWI, and how their brains overlap."""
    files = work.scans.files
    inputs = [work.file("t1w.nii.gz"), work.file("brain_mask.nii.gz"), files["DWI"], files["bvals"]]
    inputs += [files["DWI_mask"]] if "DWI_mask" in files else []
    parameters = {"by": "headers" if work.scans.dwi_in_t1w_space else "rigid", "mask": "given" if "DWI_mask" in files else "median_otsu"}  # fmt: skip

    def make() -> dict[str, Any]:
        unweighted = mean_unweighted(files["DWI"], gradients)
        if "DWI_mask" in files:
            mask = stored_voxels(files["DWI_mask"]).reshape(unweighted.shape) > 0
        else:
            mask = mask_of_unweighted(unweighted.voxels)
        write_volume(work.file("b0.nii.gz"), unweighted)
        write_volume(work.file("dwi_mask.nii.gz"), unweighted.like(mask))
        matrix = np.eye(4) if work.scans.dwi_in_t1w_space else _register_to_dwi(work)
        return {"t1w_to_dwi": matrix.tolist(), "overlap": _overlap(work, matrix), "scan": gradients.words, "notes": list(gradients.notes)}  # fmt: skip

    return work.step("alignment", parameters, inputs, ["b0.nii.gz", "dwi_mask.nii.gz"], make)


def _register_to_dwi(work: Work) -> np.ndarray:
    unweighted, inside = read_volume(work.file("b0.nii.gz")), read_volume(work.file("dwi_mask.nii.gz"))
    centres = [v.affine @ [*np.argwhere(v.voxels > 0.5).mean(axis=0), 1] for v in (work.mask, inside)]
    start = np.eye(4) if np.linalg.norm(centres[0] - centres[1]) < FAR_APART_MM else None
    region = dilated(work.brain_voxels, work.mask.spacing, 4)
    moving = unweighted.like(unweighted.voxels * dilated(inside.voxels, inside.spacing, 4))
    return register_linear(work.brain, moving, "rigid", region, start)


def _overlap(work: Work, t1w_to_dwi: np.ndarray) -> float:
    """Dice of the two brain masks, on every voxel of the T1w's that makes 2 mm or less."""
    inside = read_volume(work.file("dwi_mask.nii.gz"))
    steps = [max(1, int(2 // spacing)) for spacing in work.mask.spacing]
    thin = (slice(None, None, steps[0]), slice(None, None, steps[1]), slice(None, None, steps[2]))
    t1w_mask = work.brain_voxels[thin]
    points = grid_points(t1w_mask.shape, work.mask.affine @ np.diag([*steps, 1]))
    dwi_mask = inside.at(apply(t1w_to_dwi, points)) > 0.5
    return float(2 * (t1w_mask & dwi_mask).sum() / max(1, t1w_mask.sum() + dwi_mask.sum()))


class DiffusionScan:
    """FA and NDI on the scan's own grid; its signals are read once, when a step needs them.

    Args:
        work: after `align`.
        gradients: of the scan's volumes.
    """

    def __init__(self, work: Work, gradients: Gradients) -> None:
        self.work, self.gradients = work, gradients

    @cached_property
    def mask(self) -> np.ndarray:
        """`(D, H, W)` brain, on the scan's own axes."""
        return stored_voxels(self.work.file("dwi_mask.nii.gz")) > 0

    @cached_property
    def signals(self) -> np.ndarray:
        """`(V, N)` of the brain's voxels: the largest thing in memory."""
        return masked_signals(self.work.scans.files["DWI"], self.mask, self.work.progress)

    @property
    def _inputs(self) -> list[Path]:
        return [*(self.work.scans.files[name] for name in ("DWI", "bvals", "bvecs")), self.work.file("dwi_mask.nii.gz")]

    def tensor(self) -> dict[str, Any]:
        """Leave `fa.nii.gz` and `direction.nii.gz`."""

        def make() -> dict[str, Any]:
            fa, directions = fit_tensor(self.signals, self.gradients)
            self._write("fa.nii.gz", fa)
            self._write("direction.nii.gz", directions)
            return {"fa_median": float(np.median(fa)), "volumes": int(self.gradients.for_tensor.sum())}

        return self.work.step("tensor", {"fit": "WLS"}, self._inputs, ["fa.nii.gz", "direction.nii.gz"], make)

    def noddi(self) -> dict[str, Any]:
        """Leave `ndi.nii.gz`, `odi.nii.gz` and `free_water.nii.gz`.

        Raises:
            InputProblems: if the noise cannot be estimated, or AMICO fails.
        """
        settings = self.work.settings
        parameters = {"grid": asdict(settings.tissues)} if settings.noddi == "grid" else {"fit": settings.noddi}

        def make() -> dict[str, Any]:
            try:
                maps = self._fit()
            except ValueError as error:
                raise InputProblems("NODDI", [f"{error}"]) from error
            for output, values in zip(NODDI_OUTPUTS, (maps.ndi, maps.odi, maps.free_water), strict=True):
                self._write(output, values)
            unweighted = self.signals[:, self.gradients.is_b0].mean(axis=1)
            snr = float(np.median(unweighted) / max(maps.noise_sd, 1e-12))
            return {"noise_sd": maps.noise_sd, "signal_to_noise": round(snr, 1), "ndi_median": float(np.median(maps.ndi))}  # fmt: skip

        inputs = [*self._inputs, self.work.file("direction.nii.gz")]
        return self.work.step("noddi", parameters, inputs, NODDI_OUTPUTS, make)

    def _fit(self) -> NoddiMaps:
        settings = self.work.settings
        if settings.noddi == "amico":
            return fit_amico(self.signals, self.gradients)
        directions = stored_voxels(self.work.file("direction.nii.gz"))[self.mask]
        device = torch.device(settings.device)
        return fit_noddi(
            self.signals, self.gradients, directions, settings.tissues, device=device, progress=self.work.progress
        )

    def _write(self, name: str, values: np.ndarray) -> None:
        """Values of the mask's voxels, `(V,)` or `(V, 3)`, as an image on the scan's grid."""
        volume = np.zeros((*self.mask.shape, *values.shape[1:]), dtype=np.float32)
        volume[self.mask] = values
        unweighted: Any = nib.load(self.work.file("b0.nii.gz"))
        write_volume(self.work.file(name), Volume(volume, unweighted.affine))
