"""A 3D image in RAS orientation with its place in the world, and back and forth to SimpleITK."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from bundle.data.atomic import atomic_path
from bundle.data.geometry import geometry_problem
from bundle.data.problems import InputProblems
from bundle.data.random_fields import FWHM_PER_SIGMA
from bundle.mapping.optional import needed

FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
"""RAS (nibabel) to LPS (ITK) millimetres, and back."""


def stored_voxels(path: Path) -> np.ndarray:
    """Values of an image, on the axes that it is stored on."""
    image: Any = nib.load(path)
    return np.asarray(image.dataobj)


@dataclass(frozen=True)
class Volume:
    """An image.

    Attributes:
        voxels: `(D, H, W)`, axes to the right, front and top.
        affine: `(4, 4)` voxels to RAS mm, without shear.
    """

    voxels: np.ndarray
    affine: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the grid."""
        return self.voxels.shape

    @property
    def spacing(self) -> np.ndarray:
        """`(3,)` mm."""
        return nib.affines.voxel_sizes(self.affine)

    def like(self, voxels: np.ndarray) -> Volume:
        """Other values on this grid."""
        return Volume(voxels, self.affine)

    def at(self, points: np.ndarray, spacing: float | None = None, order: int = 1) -> np.ndarray:
        """Values at points of the world; 0 outside.

        Args:
            points: `(3, ...)` RAS mm.
            spacing: mm between them; finer images are smoothed to it first.
            order: 1 is linear, 0 takes the nearest voxel.

        Returns:
            `(...)` float32.
        """
        voxels = self.voxels.astype(np.float32)
        if spacing is not None:
            voxels = gaussian_filter(voxels, np.sqrt(np.maximum((spacing / self.spacing) ** 2 - 1, 0)) / FWHM_PER_SIGMA)
        return map_coordinates(
            voxels, apply(np.linalg.inv(self.affine), points), order=order, mode="grid-constant", prefilter=False
        )


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """An affine `(4, 4)` on points `(3, ...)`."""
    moved = np.tensordot(matrix[:3, :3], points, 1)
    return moved + matrix[:3, 3].reshape(3, *[1] * (points.ndim - 1))


def grid_points(shape: Sequence[int], affine: np.ndarray) -> np.ndarray:
    """`(3, D, H, W)` RAS mm of the voxel centres of a grid."""
    return apply(affine, np.stack(np.meshgrid(*[np.arange(size, dtype=float) for size in shape], indexing="ij")))


def read_volume(path: Path) -> Volume:
    """Read a 3D image, turned to RAS, float32.

    Raises:
        InputProblems: for files that are none, have other axes, NaN or a sheared affine.
    """
    try:
        stored: Any = nib.load(path)
        problem = geometry_problem(stored)
        image: Any = nib.as_closest_canonical(stored) if problem is None else stored
        voxels = np.asarray(image.dataobj, dtype=np.float32) if problem is None else np.zeros(())
    except Exception as error:  # whatever a broken file makes the reader raise
        raise InputProblems("Images", [f"{path}: cannot be read ({error}): copy or make it again."]) from error
    if problem is not None:
        raise InputProblems("Images", [f"{path}: {': '.join(problem)}."])
    voxels = voxels[..., 0] if voxels.ndim == 4 and voxels.shape[3] == 1 else voxels
    if voxels.ndim != 3:
        raise InputProblems("Images", [f"{path}: expected 3 axes, got {voxels.shape}: extract the volume you mean."])
    if not np.isfinite(voxels).all():
        raise InputProblems("Images", [f"{path}: NaN or infinite in {int((~np.isfinite(voxels)).sum())} of its voxels: set them to background."])  # fmt: skip
    return Volume(voxels, checked_affine(image.affine, path))


def checked_affine(affine: np.ndarray, path: Path) -> np.ndarray:
    """The affine itself.

    Raises:
        InputProblems: if its axes are not at right angles, which registration cannot take.
    """
    axes = affine[:3, :3] / nib.affines.voxel_sizes(affine)
    if np.abs(axes.T @ axes - np.eye(3)).max() > 1e-3:
        raise InputProblems("Images", [f"{path}: its axes are not at right angles (sheared affine): resample it to a plain grid."])  # fmt: skip
    return np.asarray(affine, dtype=float)


def write_volume(path: Path, volume: Volume, code: str = "scanner") -> None:
    """Write float32 (or uint8 for masks and labels), whole or not at all."""
    kind = np.uint8 if volume.voxels.dtype in (np.bool_, np.uint8) else np.float32
    image = nib.Nifti1Image(np.asarray(volume.voxels, dtype=kind), volume.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(volume.affine, code=code)
    image.set_qform(volume.affine, code=code)
    with atomic_path(path) as temporary:
        nib.save(image, temporary)


def to_itk(volume: Volume) -> Any:
    """A SimpleITK image, float32, in ITK's LPS world."""
    sitk = needed("SimpleITK")
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.voxels.astype(np.float32).T))
    lps = FLIP @ volume.affine
    directions, _, other = np.linalg.svd(lps[:3, :3] / volume.spacing)
    image.SetSpacing(volume.spacing.tolist())
    image.SetDirection((directions @ other).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def from_itk(image: Any) -> np.ndarray:
    """Voxels `(D, H, W)` of a SimpleITK image."""
    return needed("SimpleITK").GetArrayFromImage(image).T
