"""Warps that other software made, as where each point of the template lies in the person's T1w image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy.ndimage import map_coordinates

from bundle.data.problems import InputProblems
from bundle.mapping.optional import needed
from bundle.mapping.volume import FLIP, apply

FSL_COEFFICIENTS = (2007, 2008, 2009)
"""NIfTI intents of FNIRT's spline and cosine coefficients."""


def warped_points(file: Path, points: np.ndarray, t1w: Path) -> np.ndarray:
    """Where points of the template lie in the T1w image that a warp was made for.

    Args:
        file: an ITK or ANTs transform (`.h5`, `.mat`, `.txt`, `.tfm`, a displacement field with intent `vector`), or a dense
            FSL field on the template's grid, relative or absolute.
        points: `(3, D, H, W)` RAS mm in the template.
        t1w: the image that the warp was made for; FSL's fields are in its voxels.

    Raises:
        InputProblems: if it is none of these.
    """
    if not file.name.endswith((".nii", ".nii.gz")):
        return _by_itk(_read_transform(file), points)
    image: Any = nib.load(file)
    if image.ndim == 5 and image.shape[3:] == (1, 3):
        sitk = needed("SimpleITK")
        return _by_itk(sitk.DisplacementFieldTransform(sitk.ReadImage(str(file), sitk.sitkVectorFloat64)), points)
    if image.ndim != 4 or image.shape[3] != 3:
        raise InputProblems("Warp", [f"{file}: expected a field of three numbers for each voxel, got {image.shape}: give the warp from the template to the T1w image."])  # fmt: skip
    if int(image.header["intent_code"]) in FSL_COEFFICIENTS:
        raise InputProblems("Warp", [f"{file} holds FNIRT's coefficients: make a dense field of it, fnirtfileutils --in={file.name} --ref=<FNIRT's reference> --out=warp --withaff."])  # fmt: skip
    return _by_fsl_field(image, points, nib.load(t1w))


def _read_transform(file: Path) -> Any:
    try:
        return needed("SimpleITK").ReadTransform(str(file))
    except RuntimeError as error:
        raise InputProblems("Warp", [f"{file}: is no transform that ITK reads ({str(error).strip().splitlines()[-1]}): give a composite .h5, or an FSL warp."]) from error  # fmt: skip


def _by_itk(transform: Any, points: np.ndarray) -> np.ndarray:
    flip = FLIP[:3, :3].diagonal()[:, None]
    flat = (flip * points.reshape(3, -1)).T
    moved = np.array([transform.TransformPoint(point) for point in flat.tolist()])
    return (flip * moved.T).reshape(points.shape)


def _by_fsl_field(field: Any, points: np.ndarray, t1w: Any) -> np.ndarray:
    voxels = apply(np.linalg.inv(field.affine), points)
    own = apply(_to_fsl(field), voxels)
    values = np.asarray(field.dataobj, dtype=np.float32)
    moved = np.stack([map_coordinates(values[..., axis], voxels, order=1, mode="nearest") for axis in range(3)])
    # an absolute field holds coordinates, so less is left of it when those are taken away
    is_absolute = np.std(moved - own, axis=(1, 2, 3)).sum() < np.std(moved, axis=(1, 2, 3)).sum()
    return apply(t1w.affine @ np.linalg.inv(_to_fsl(t1w)), moved if is_absolute else own + moved)


def _to_fsl(image: Any) -> np.ndarray:
    """Voxels to FSL's mm, `(4, 4)`: scaled, and the first axis counted from its end where it runs to the right."""
    sizes = nib.affines.voxel_sizes(image.affine)
    scale = np.diag([*sizes, 1.0])
    if np.linalg.det(image.affine[:3, :3]) > 0:
        scale[0] = [-sizes[0], 0, 0, (image.shape[0] - 1) * sizes[0]]
    return scale
