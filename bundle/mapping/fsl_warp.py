"""FSL's warps, as where each point of the template lies in the participant's T1w image: dense fields, FNIRT's coefficients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy.ndimage import map_coordinates

from bundle.data.problems import InputProblems
from bundle.mapping.optional import needed
from bundle.mapping.volume import apply

CUBIC, COSINE, QUADRATIC = 2007, 2008, 2009
"""NIfTI intents of FNIRT's coefficients."""
MNI152_SIZE_MM, MNI152_ORIGIN = (182, 218, 182), (90.0, -126.0, -72.0)
"""FSL's MNI152, stored from right to left, at 1 or 2 mm; its first voxel lies at the same place in both."""


def dense_points(field: Any, points: np.ndarray, t1w: Any) -> np.ndarray:
    """Where points lie by a dense field, relative or absolute.

    Args:
        field: NIfTI image `(D, H, W, 3)`, on the template's grid.
        points: `(3, ...)` RAS mm in the template.
        t1w: NIfTI image of the T1w that the field was made for.

    Returns:
        `(3, ...)` RAS mm in the T1w image.
    """
    voxels = apply(np.linalg.inv(field.affine), points)
    own = apply(to_fsl(field), voxels)
    values = np.asarray(field.dataobj, dtype=np.float32)
    moved = np.stack([map_coordinates(values[..., axis], voxels, order=1, mode="nearest") for axis in range(3)])
    # an absolute field holds coordinates, so less is left of it when those are taken away
    axes = tuple(range(1, moved.ndim))
    is_absolute = np.std(moved - own, axis=axes).sum() < np.std(moved, axis=axes).sum()
    return apply(_from_fsl(t1w), moved if is_absolute else own + moved)


def coefficient_points(file: Path, points: np.ndarray, t1w: Any, reference: Path | None = None) -> np.ndarray:
    """Where points lie by FNIRT's cubic spline coefficients and the affine that is stored with them.

    FNIRT adds the displacement to what the affine makes of a point: source = A^-1 x + d(x), in FSL's mm.

    Args:
        file: the coefficients.
        points: `(3, ...)` RAS mm in the template.
        t1w: NIfTI image of the T1w that FNIRT was run on.
        reference: FNIRT's reference image; None is FSL's MNI152.

    Returns:
        `(3, ...)` RAS mm in the T1w image; beyond the reference's box the displacement is that of its border.

    Raises:
        InputProblems: see `reference_grid`.
    """
    fnirt, images = needed("fsl.transform.fnirt"), needed("fsl.data.image")
    grid = reference_grid(file, reference)
    voxels = apply(np.linalg.inv(grid.affine), points)
    highest = np.array(grid.shape, dtype=float).reshape(3, *[1] * (points.ndim - 1)) - 1
    inside = np.clip(voxels, 0, highest).reshape(3, -1).T
    field = fnirt.readFnirt(str(file), images.Nifti(t1w.header), images.Nifti(grid.header))
    displacement = field.displacements(inside).T.reshape(points.shape)
    return apply(_from_fsl(t1w), apply(field.refToSrcMat @ to_fsl(grid), voxels) + displacement)


def reference_grid(file: Path, reference: Path | None) -> nib.Nifti1Image:
    """The grid of the image that coefficients refer to, as an image without content.

    Raises:
        InputProblems: if the coefficients are not cubic splines, or their reference is not known or not the one given.
    """
    header = nib.load(file).header
    dense = f"make a dense field of it: fnirtfileutils --in={file.name} --ref=<FNIRT's reference> --out=warp --withaff"
    if int(header["intent_code"]) != CUBIC:
        raise InputProblems("Warp", [f"{file}: expected FNIRT's cubic splines, got its {'quadratic splines' if int(header['intent_code']) == QUADRATIC else 'cosines'}: {dense}."])  # fmt: skip
    shape = tuple(round(float(header[f"qoffset_{axis}"])) for axis in "xyz")
    sizes = np.array([float(header[f"intent_p{number}"]) for number in (1, 2, 3)])
    wanted = f"{' x '.join(map(str, shape))} voxels of {' x '.join(f'{size:g}' for size in sizes)} mm"
    if reference is None:
        is_mni = sizes[0] in (1, 2) and (sizes == sizes[0]).all() and shape == tuple(size // int(sizes[0]) for size in MNI152_SIZE_MM)  # fmt: skip
        if not is_mni:
            raise InputProblems("Warp", [f"{file} was made for a reference of {wanted}, which is not FSL's MNI152, and does not say where that lies: give FNIRT's --ref image as warp_reference, in --files or among the patterns of --scans."])  # fmt: skip
        affine = np.diag([-sizes[0], sizes[1], sizes[2], 1.0])
        affine[:3, 3] = MNI152_ORIGIN
    else:
        given: Any = nib.load(reference)
        if given.shape[:3] != shape or not np.allclose(given.header.get_zooms()[:3], sizes, atol=1e-3):
            raise InputProblems("Warp", [f"warp_reference, {reference}: expected the {wanted} that {file} was made for, got {given.shape[:3]}, {given.header.get_zooms()[:3]} mm: give FNIRT's --ref image."])  # fmt: skip
        affine = given.affine
        if np.linalg.det(affine[:3, :3]) > 0:
            raise InputProblems("Warp", [f"warp_reference, {reference}: expected voxels stored from right to left, as FSL's templates are: {dense}."])  # fmt: skip
    return nib.Nifti1Image(np.broadcast_to(np.uint8(0), shape), affine)


def to_fsl(image: Any) -> np.ndarray:
    """Voxels to FSL's mm, `(4, 4)`: scaled, and the first axis counted from its end where it runs to the right."""
    sizes = nib.affines.voxel_sizes(image.affine)
    scale = np.diag([*sizes, 1.0])
    if np.linalg.det(image.affine[:3, :3]) > 0:
        scale[0] = [-sizes[0], 0, 0, (image.shape[0] - 1) * sizes[0]]
    return scale


def _from_fsl(image: Any) -> np.ndarray:
    """FSL's mm to RAS mm."""
    return image.affine @ np.linalg.inv(to_fsl(image))
