"""Warps that other software made, as where each point of the template lies in the participant's T1w image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import nibabel as nib
import numpy as np

from bundle.data.problems import InputProblems
from bundle.mapping.fsl_warp import COSINE, CUBIC, QUADRATIC, coefficient_points, dense_points, reference_grid
from bundle.mapping.optional import needed
from bundle.mapping.volume import FLIP, Volume, from_itk, grid_points, to_itk

_ONE_READER = Lock()
"""ITK's HDF5 reader ends the process if two threads read at once."""


def warped_points(
    file: Path, shape: Sequence[int], affine: np.ndarray, t1w: Path, reference: Path | None = None
) -> np.ndarray:
    """Where the voxels of a grid in the template lie in the T1w image that a warp was made for.

    Args:
        file: an ITK or ANTs transform (`.h5`, `.mat`, `.txt`, `.tfm`, a displacement field with intent `vector`), a dense
            FSL field on the template's grid, relative or absolute, or FNIRT's coefficients.
        shape: D, H, W of the grid.
        affine: `(4, 4)` of the grid, voxels to RAS mm in the template, without shear.
        t1w: the image that the warp was made for; FSL's warps are in its voxels.
        reference: FNIRT's reference image, for coefficients; None is FSL's MNI152.

    Returns:
        `(3, D, H, W)` RAS mm.

    Raises:
        InputProblems: if it is none of these.
    """
    kind, points = warp_kind(file), grid_points(shape, affine)
    if kind in ("itk", "itk field"):
        return points + _displacement(_read_transform(file, kind), shape, affine)
    if kind == "fnirt":
        return coefficient_points(file, points, nib.load(t1w), reference)
    return dense_points(nib.load(file), points, nib.load(t1w))


def warp_kind(file: Path) -> str:
    """`itk`, `itk field`, `fnirt` (coefficients) or `fsl field`, by name and header.

    Raises:
        InputProblems: if it holds no warp.
    """
    if not file.name.endswith((".nii", ".nii.gz")):
        return "itk"
    try:
        image: Any = nib.load(file)
    except Exception as error:  # whatever a broken file makes the reader raise
        raise InputProblems("Warp", [f"{file}: cannot be read ({error}): copy or make it again."]) from error
    if image.ndim == 5 and image.shape[3:] == (1, 3):
        return "itk field"
    if image.ndim != 4 or image.shape[3] != 3:
        raise InputProblems("Warp", [f"{file}: expected a field of three numbers for each voxel, got {image.shape}: give the warp from the template to the T1w image."])  # fmt: skip
    return "fnirt" if int(image.header["intent_code"]) in (CUBIC, COSINE, QUADRATIC) else "fsl field"


def check_warp(file: Path, reference: Path | None) -> None:
    """What can be known of a warp before anything is computed.

    Raises:
        InputProblems: if it cannot be used.
    """
    if warp_kind(file) == "fnirt":
        reference_grid(file, reference)
        needed("fsl.transform.fnirt")


def _read_transform(file: Path, kind: str) -> Any:
    sitk = needed("SimpleITK")
    if kind == "itk field":
        return sitk.DisplacementFieldTransform(sitk.ReadImage(str(file), sitk.sitkVectorFloat64))
    try:
        with _ONE_READER:
            return sitk.ReadTransform(str(file))
    except RuntimeError as error:
        raise InputProblems("Warp", [f"{file}: the warp cannot be read ({str(error).strip().splitlines()[-1]}): copy or make it again; expected a transform of ITK, such as a composite .h5, or an FSL warp."]) from error  # fmt: skip


def _displacement(transform: Any, shape: Sequence[int], affine: np.ndarray) -> np.ndarray:
    """Of a whole grid at once, `(3, D, H, W)` RAS mm: a point at a time takes fifty times as long."""
    sitk = needed("SimpleITK")
    sample = sitk.TransformToDisplacementFieldFilter()
    sample.SetReferenceImage(to_itk(Volume(np.zeros(shape, np.float32), affine)))
    sample.SetOutputPixelType(sitk.sitkVectorFloat64)
    return FLIP[:3, :3].diagonal().reshape(3, 1, 1, 1) * from_itk(sample.Execute(transform))
