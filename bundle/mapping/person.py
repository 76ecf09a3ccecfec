"""One person's way from scans to maps: brain, warp, alignment, tensor, NODDI, maps. Each step is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from bundle.data.problems import InputProblems
from bundle.mapping.brain import choose_method, mask_by_deepbet, mask_by_template, mask_of_unweighted
from bundle.mapping.diffusion import masked_signals, mean_unweighted
from bundle.mapping.gradients import why_no_noddi, why_no_tensor
from bundle.mapping.model_grid import MapSettings, make_maps
from bundle.mapping.noddi import TissueGrid, fit_noddi
from bundle.mapping.precomputed import warped_points
from bundle.mapping.registration import (
    DEMONS_LEVELS,
    DEMONS_SIGMA_MM,
    correct_bias,
    dilated,
    register_demons,
    register_linear,
)
from bundle.mapping.scans import Scans
from bundle.mapping.steps import run_step
from bundle.mapping.target import Target
from bundle.mapping.tensor import fit_tensor
from bundle.mapping.volume import Volume, grid_points, read_volume, stored_voxels, write_volume
from bundle.mapping.warp import Warp

REGISTRATIONS = ("demons", "given")
FAR_APART_MM = 40.0
"""Centres of DWI and T1w further apart than this were not scanned in one place: headers are no start."""


@dataclass(frozen=True)
class MappingSettings:
    """What shapes the maps.

    Args:
        brain_mask: `auto` | `given` | `deepbet` | `template`.
        registration: `demons`, or `given`: the warp in the person's files.
        maps: see `MapSettings`.
        noddi: the grid of tissues.
        device: where NODDI is computed.
    """

    brain_mask: str = "auto"
    registration: str = "demons"
    maps: MapSettings = field(default_factory=MapSettings)
    noddi: TissueGrid = field(default_factory=TissueGrid)
    device: str = "cpu"


class PersonMapper:
    """Runs the steps of one person in a folder of their own.

    Args:
        scans: the person's files.
        target: template and grid.
        settings: see `MappingSettings`.
        folder: for what steps leave.
        maps_folder: for the maps, `<id>_<map>.nii.gz`.
        progress: show bars.
    """

    def __init__(
        self, scans: Scans, target: Target, settings: MappingSettings, folder: Path, maps_folder: Path, progress: bool
    ) -> None:
        self.scans, self.target, self.settings = scans, target, settings
        self.folder, self.maps_folder, self.progress = folder, maps_folder, progress

    def run(self) -> dict[str, Any]:
        """All steps that can be done; facts of each, and under `refused` why a map was not made (map -> reason).

        Raises:
            InputProblems: if a step cannot be done with these scans.
        """
        gradients = self.scans.gradients
        facts: dict[str, Any] = {"refused": {}, "brain": self._brain(), "warp": self._warp()}
        if gradients is None:
            facts["refused"] = dict.fromkeys(("FA", "NDI"), "there is no diffusion scan")
        else:
            no_tensor, no_noddi = why_no_tensor(gradients), why_no_noddi(gradients)
            if no_tensor:
                facts["refused"] = dict.fromkeys(("FA", "NDI"), no_tensor)
            else:
                facts["alignment"] = self._alignment()
                facts["tensor"] = self._tensor()
                if no_noddi:
                    facts["refused"] = {"NDI": no_noddi}
                else:
                    facts["noddi"] = self._noddi()
            self.__dict__.pop("_signals", None)  # the largest thing in memory
        facts["maps"] = self._maps(facts)
        return facts

    def _step(self, name: str, parameters: Mapping[str, Any], inputs: list[Path], outputs: list[str], make: Any) -> dict[str, Any]:  # fmt: skip
        return run_step(self.folder, name, parameters, inputs, outputs, make)[0]

    def _file(self, name: str) -> Path:
        return self.folder / name

    # -- brain: bias field and mask of the T1w image -------------------------------------------------------------

    def _brain(self) -> dict[str, Any]:
        files = self.scans.files
        method = choose_method(self.settings.brain_mask, "T1w_mask" in files)
        if method == "given" and "T1w_mask" not in files:
            raise InputProblems("Brain mask", ["--brain_mask given, but there is none: add T1w_mask, or --brain_mask auto."])  # fmt: skip
        inputs = [files["T1w"], *([files["T1w_mask"]] if method == "given" else [])]
        parameters: dict[str, Any] = {"mask": method}
        if method == "template":
            parameters["template"] = self._template_words()

        def make() -> dict[str, Any]:
            head = read_volume(files["T1w"])
            if method == "given":
                mask = read_volume(files["T1w_mask"]).voxels > 0.5
                corrected = correct_bias(head, mask)
            else:
                corrected = correct_bias(head)
                mask = mask_by_deepbet(corrected) if method == "deepbet" else mask_by_template(corrected, self.target.template, self.target.mask)  # fmt: skip
            litres = float(mask.sum() * np.prod(head.spacing) / 1e6)
            if not mask.any():
                raise InputProblems("Brain mask", [f"{files['T1w']}: no brain was found (by {method}): give T1w_mask."])
            write_volume(self._file("t1w.nii.gz"), corrected)
            write_volume(self._file("brain_mask.nii.gz"), head.like(mask))
            return {"mask": method, "litres": round(litres, 3)}

        return self._step("brain", parameters, inputs, ["t1w.nii.gz", "brain_mask.nii.gz"], make)

    @cached_property
    def _t1w(self) -> Volume:
        return read_volume(self._file("t1w.nii.gz"))

    @cached_property
    def _mask(self) -> Volume:
        return read_volume(self._file("brain_mask.nii.gz"))

    def _template_words(self) -> dict[str, Any]:
        template = self.target.template
        return {
            "name": self.target.name,
            "shape": list(template.shape),
            "affine": template.affine.tolist(),
            "content": self.target.fingerprint,
        }

    # -- warp: template to T1w -----------------------------------------------------------------------------------

    def _warp(self) -> dict[str, Any]:
        kind = self.settings.registration
        inputs = [self._file("t1w.nii.gz"), self._file("brain_mask.nii.gz")]
        parameters: dict[str, Any] = {"registration": kind, "template": self._template_words()}
        if kind == "given":
            if "warp" not in self.scans.files:
                raise InputProblems("Registration", ["--registration given, but there is no warp: add it, or --registration demons."])  # fmt: skip
            inputs.append(self.scans.files["warp"])
        else:
            parameters |= {"levels": [list(level) for level in DEMONS_LEVELS], "sigma_mm": DEMONS_SIGMA_MM}

        def make() -> dict[str, Any]:
            template, brain = self.target.template, self._t1w.like(self._t1w.voxels * (self._mask.voxels > 0.5))
            if kind == "given":
                own = grid_points(template.shape, template.affine)
                points = warped_points(self.scans.files["warp"], own, self.scans.files["T1w"])
                warp = Warp.of_points(points, template.affine, self.target.mask)
            else:
                warp = register_demons(template, brain, register_linear(template, brain, "affine"))
            try:
                warp = warp.unfolded()
            except ValueError as error:
                raise InputProblems("Registration", [f"{error} Look at the brain mask, or give one."]) from error
            warped = brain.at(warp.points, float(template.spacing.mean()))
            jacobian = warp.jacobian[self.target.mask]
            _write_displacement(self._file("warp.nii.gz"), warp)
            return {
                "affine": warp.affine.tolist(),
                "affine_determinant": warp.affine_determinant,
                "folded_voxels_before": warp.n_unfolded,
                "folded_voxels": int((warp.jacobian <= 0).sum()),
                "jacobian_lowest": float(jacobian.min()),
                "jacobian_highest": float(jacobian.max()),
                "likeness": float(np.corrcoef(warped[self.target.mask], template.voxels[self.target.mask])[0, 1]),
            }

        return self._step("warp", parameters, inputs, ["warp.nii.gz"], make)

    # -- alignment: T1w to DWI -----------------------------------------------------------------------------------

    def _alignment(self) -> dict[str, Any]:
        files, gradients = self.scans.files, self.scans.gradients
        assert gradients is not None
        inputs = [self._file("t1w.nii.gz"), self._file("brain_mask.nii.gz"), files["DWI"], files["bvals"]]
        inputs += [files["DWI_mask"]] if "DWI_mask" in files else []
        parameters = {"by": "headers" if self.scans.dwi_in_t1w_space else "rigid", "mask": "given" if "DWI_mask" in files else "median_otsu"}  # fmt: skip

        def make() -> dict[str, Any]:
            unweighted = mean_unweighted(files["DWI"], gradients)
            if "DWI_mask" in files:
                mask = stored_voxels(files["DWI_mask"]).reshape(unweighted.shape) > 0
            else:
                mask = mask_of_unweighted(unweighted.voxels)
            write_volume(self._file("b0.nii.gz"), unweighted)
            write_volume(self._file("dwi_mask.nii.gz"), unweighted.like(mask))
            matrix = np.eye(4)
            if not self.scans.dwi_in_t1w_space:
                matrix = self._register_to_dwi()
            inside = read_volume(self._file("dwi_mask.nii.gz"))
            steps = [max(1, int(2 // spacing)) for spacing in self._mask.spacing]
            thin = (slice(None, None, steps[0]), slice(None, None, steps[1]), slice(None, None, steps[2]))
            points = grid_points(self._mask.shape, self._mask.affine)[(slice(None), *thin)]
            t1w_mask = self._mask.voxels[thin] > 0.5
            dwi_mask = inside.at(np.tensordot(matrix[:3, :3], points, 1) + matrix[:3, 3].reshape(3, 1, 1, 1)) > 0.5
            overlap = 2 * (t1w_mask & dwi_mask).sum() / max(1, t1w_mask.sum() + dwi_mask.sum())
            return {"t1w_to_dwi": matrix.tolist(), "overlap": float(overlap), "scan": gradients.words, "notes": list(gradients.notes)}  # fmt: skip

        return self._step("alignment", parameters, inputs, ["b0.nii.gz", "dwi_mask.nii.gz"], make)

    def _register_to_dwi(self) -> np.ndarray:
        unweighted, inside = read_volume(self._file("b0.nii.gz")), read_volume(self._file("dwi_mask.nii.gz"))
        mask = self._mask.voxels > 0.5
        brain = self._t1w.like(self._t1w.voxels * mask)
        centres = [grid_points(v.shape, v.affine)[:, v.voxels > 0.5].mean(axis=1) for v in (self._mask, inside)]
        start = np.eye(4) if np.linalg.norm(centres[0] - centres[1]) < FAR_APART_MM else None
        region = dilated(mask, self._mask.spacing, 4)
        moving = unweighted.like(unweighted.voxels * dilated(inside.voxels, inside.spacing, 4))
        return register_linear(brain, moving, "rigid", region, start)

    # -- FA and NDI, on the DWI's own grid -----------------------------------------------------------------------

    @cached_property
    def _dwi_mask(self) -> np.ndarray:
        return stored_voxels(self._file("dwi_mask.nii.gz")) > 0

    @cached_property
    def _signals(self) -> np.ndarray:
        return masked_signals(self.scans.files["DWI"], self._dwi_mask, self.progress)

    @property
    def _diffusion_files(self) -> list[Path]:
        return [*(self.scans.files[name] for name in ("DWI", "bvals", "bvecs")), self._file("dwi_mask.nii.gz")]

    def _tensor(self) -> dict[str, Any]:
        gradients = self.scans.gradients
        assert gradients is not None

        def make() -> dict[str, Any]:
            fa, directions = fit_tensor(self._signals, gradients)
            self._write_on_dwi("fa.nii.gz", fa)
            self._write_on_dwi("direction.nii.gz", directions)
            return {"fa_median": float(np.median(fa)), "volumes": int(gradients.for_tensor.sum())}

        return self._step("tensor", {"fit": "WLS"}, self._diffusion_files, ["fa.nii.gz", "direction.nii.gz"], make)

    def _noddi(self) -> dict[str, Any]:
        gradients, grid = self.scans.gradients, self.settings.noddi
        assert gradients is not None
        outputs = [f"{name}.nii.gz" for name in ("ndi", "odi", "free_water")]

        def make() -> dict[str, Any]:
            direction = stored_voxels(self._file("direction.nii.gz"))
            directions = direction[self._dwi_mask]
            device = torch.device(self.settings.device)
            try:
                maps = fit_noddi(self._signals, gradients, directions, grid, device=device, progress=self.progress)
            except ValueError as error:
                raise InputProblems("NODDI", [f"{error}"]) from error
            for output, values in zip(outputs, (maps.ndi, maps.odi, maps.free_water), strict=True):
                self._write_on_dwi(output, values)
            unweighted = self._signals[:, gradients.is_b0].mean(axis=1)
            snr = float(np.median(unweighted) / max(maps.noise_sd, 1e-12))
            return {"noise_sd": maps.noise_sd, "signal_to_noise": round(snr, 1), "ndi_median": float(np.median(maps.ndi))}  # fmt: skip

        inputs = [*self._diffusion_files, self._file("direction.nii.gz")]
        return self._step("noddi", {"grid": asdict(grid)}, inputs, outputs, make)

    def _write_on_dwi(self, name: str, values: np.ndarray) -> None:
        """Values of the mask's voxels, `(V,)` or `(V, 3)`, as an image on the scan's grid."""
        volume = np.zeros((*self._dwi_mask.shape, *values.shape[1:]), dtype=np.float32)
        volume[self._dwi_mask] = values
        unweighted: Any = nib.load(self._file("b0.nii.gz"))
        write_volume(self._file(name), Volume(volume, unweighted.affine))

    # -- maps on the network's grid ------------------------------------------------------------------------------

    def _maps(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        used = ["t1w.nii.gz", "brain_mask.nii.gz", "warp.nii.gz"]
        used += ["fa.nii.gz"] if "tensor" in facts else []
        used += ["ndi.nii.gz", "free_water.nii.gz"] if "noddi" in facts else []
        matrix = np.array(facts["alignment"]["t1w_to_dwi"]) if "alignment" in facts else None
        parameters = {
            "shape": list(self.target.shape),
            "affine": self.target.affine.tolist(),
            "settings": asdict(self.settings.maps),
            "t1w_to_dwi": None if matrix is None else matrix.tolist(),
            "template": self._template_words(),
        }
        name = self.scans.participant_id
        names = ["T1w", *(["FA"] if "tensor" in facts else []), *(["NDI"] if "noddi" in facts else []), "JAC"]
        outputs = [str(self.maps_folder / f"{name}_{m}.nii.gz") for m in names]

        def make() -> dict[str, Any]:
            for stale in self.maps_folder.glob(f"{name}_*.nii.gz"):
                stale.unlink()  # a map that is refused now
            warp = _read_displacement(self._file("warp.nii.gz"), np.array(facts["warp"]["affine"]))
            made, told = make_maps(self.folder, warp, self.target, matrix, names, self.settings.maps)
            for modality, volume in made.items():
                write_volume(self.maps_folder / f"{name}_{modality}.nii.gz", volume, code="mni")
            return told

        return self._step("maps", parameters, [self._file(file) for file in used], outputs, make)


def _write_displacement(path: Path, warp: Warp) -> None:
    write_volume(path, Volume(np.moveaxis(warp.displacement, 0, -1), warp.grid_affine))


def _read_displacement(path: Path, affine: np.ndarray) -> Warp:
    image: Any = nib.load(path)
    displacement = np.moveaxis(np.asarray(image.dataobj, dtype=np.float32), -1, 0)
    return Warp(displacement, image.affine, affine)
