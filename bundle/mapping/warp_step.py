"""The step `warp`: the template laid on the participant's brain, by registration or by a warp that is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bundle.data.problems import InputProblems
from bundle.mapping.ants_registration import register_ants
from bundle.mapping.precomputed import warped_points
from bundle.mapping.registration import DEMONS_LEVELS, DEMONS_SIGMA_MM, register_demons, register_linear
from bundle.mapping.target import Target
from bundle.mapping.volume import Volume, grid_points, write_volume
from bundle.mapping.warp import Warp
from bundle.mapping.work import Work
from bundle.mapping.worries import LEAST_LIKENESS

CLEARLY_BETTER = 0.05
"""By so much more like the template, a warp's inverse is the warp that was meant."""


def find_warp(work: Work) -> dict[str, Any]:
    """Leave `warp.nii.gz`, the nonlinear part in RAS mm on the template's grid; its affine part, and figures.

    Raises:
        InputProblems: if a warp was to be given and is not, goes the other way, or folds beyond mending.
    """
    kind, files = work.settings.registration, work.scans.files
    inputs = [work.file("t1w.nii.gz"), work.file("brain_mask.nii.gz")]
    parameters: dict[str, Any] = {"registration": kind, "template": work.target.words}
    if kind == "given":
        if "warp" not in files:
            raise InputProblems("Registration", ["--registration given, but there is no warp: add it, or --registration demons."])  # fmt: skip
        inputs += [files[name] for name in ("warp", "warp_reference") if name in files]
    elif kind == "demons":
        parameters |= {"levels": [list(level) for level in DEMONS_LEVELS], "sigma_mm": DEMONS_SIGMA_MM}

    def make() -> dict[str, Any]:
        target, brain = work.target, work.brain
        try:
            warp = _warp(work, brain).unfolded()
        except ValueError as error:
            if isinstance(error, InputProblems):
                raise
            raise InputProblems("Registration", [f"{error} Look at the brain mask, or give one."]) from error
        jacobian = warp.jacobian[target.mask]
        write_volume(work.file("warp.nii.gz"), Volume(np.moveaxis(warp.displacement, 0, -1), warp.grid_affine))
        return {
            "affine": warp.affine.tolist(),
            "affine_determinant": warp.affine_determinant,
            "folded_voxels_before": warp.n_unfolded,
            "folded_voxels": int((warp.jacobian <= 0).sum()),
            "jacobian_lowest": float(jacobian.min()),
            "jacobian_highest": float(jacobian.max()),
            "likeness": likeness(brain, warp.points, target),
        }

    return work.step("warp", parameters, inputs, ["warp.nii.gz"], make)


def _warp(work: Work, brain: Volume) -> Warp:
    kind, files, target = work.settings.registration, work.scans.files, work.target
    if kind == "given":
        grid = target.template.shape, target.template.affine
        points = warped_points(files["warp"], *grid, files["T1w"], files.get("warp_reference"))
        warp = Warp.of_points(points, target.template.affine, target.mask)
        refuse_reverse(files["warp"], warp, brain, target)
        return warp
    if kind == "ants":
        return register_ants(target.template, brain)
    return register_demons(target.template, brain, register_linear(target.template, brain, "affine"))


def likeness(brain: Volume, points: np.ndarray, target: Target) -> float:
    """Correlation with the template, over its brain, of the participant's brain at points `(3, D, H, W)` of their world."""
    warped = brain.at(points, float(target.template.spacing.mean()))
    return float(np.corrcoef(warped[target.mask], target.template.voxels[target.mask])[0, 1])


def refuse_reverse(file: Path, warp: Warp, brain: Volume, target: Target) -> None:
    """A warp from the T1w image to the template lays brains on each other only when it is turned round.

    Raises:
        InputProblems: if the inverse makes the participant a brain like the template, and more so than the warp itself.
    """
    given = likeness(brain, warp.points, target)
    inverse = likeness(brain, warp.template_points(grid_points(target.template.shape, target.template.affine)), target)
    if inverse >= LEAST_LIKENESS and inverse > given + CLEARLY_BETTER:
        raise InputProblems("Registration", [f"{file}: this warp seems to go from the T1w image to the template: the participant is like the template (r = {inverse:.2f}) by its inverse, not by itself (r = {given:.2f}). Give the other one, from the template to the T1w image; JAC would be upside down."])  # fmt: skip


def read_warp(work: Work, facts: dict[str, Any]) -> Warp:
    """What `find_warp` left, with the facts that it returned."""
    image: Any = nib.load(work.file("warp.nii.gz"))
    displacement = np.moveaxis(np.asarray(image.dataobj, dtype=np.float32), -1, 0)
    return Warp(displacement, image.affine, np.array(facts["affine"]))
