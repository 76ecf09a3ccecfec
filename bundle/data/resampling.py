"""Images of one space brought to one grid of it."""

from __future__ import annotations

from collections.abc import Sequence

import nibabel as nib
import numpy as np
from scipy.ndimage import affine_transform, gaussian_filter

from bundle.data.problems import InputProblems
from bundle.data.random_fields import FWHM_PER_SIGMA
from bundle.data.template import FIELD_OF_VIEW_MM, FIELD_OF_VIEW_START_MM

LEAST_BOX_MM = (144.0, 180.0, 140.0)
"""A head in an MNI template, roughly; a smaller grid would cut it."""


def common_grid(spatial_size: Sequence[int], spacing_mm: float) -> np.ndarray:
    """`(4, 4)` affine, RAS, of the grid of that size and spacing around the middle of an MNI brain.

    With 64 x 64 x 48 voxels of 3 mm it is the grid of the synthetic cohort.

    Raises:
        InputProblems: if the grid would cut the brain.
    """
    box = [size * spacing_mm for size in spatial_size]
    if any(own < least for own, least in zip(box, LEAST_BOX_MM, strict=True)):
        raise InputProblems(
            "Grid",
            [
                f"{_by(spatial_size)} voxels of {spacing_mm:g} mm are {_by(box)} mm, a brain needs {_by(LEAST_BOX_MM)} mm: raise "
                "--spacing_mm or --spatial_size."
            ],
        )
    centre = np.array(FIELD_OF_VIEW_START_MM) + np.array(FIELD_OF_VIEW_MM) / 2
    affine = np.diag([spacing_mm] * 3 + [1.0])
    affine[:3, 3] = centre - spacing_mm * (np.array(spatial_size) - 1) / 2
    return affine


def resample(
    volume: np.ndarray, affine: np.ndarray, spatial_size: Sequence[int], grid_affine: np.ndarray
) -> np.ndarray:
    """Trilinear interpolation on another grid of the same space; 0 outside the image.

    Images of finer voxels are smoothed first, to the resolution of the grid, so that nothing is aliased.

    Args:
        volume: `(D, H, W)`.
        affine: its voxels to mm.
        spatial_size: of the grid.
        grid_affine: the grid's voxels to mm.
    """
    factors = nib.affines.voxel_sizes(grid_affine).mean() / nib.affines.voxel_sizes(affine)
    sigmas = np.sqrt(np.maximum(factors**2 - 1, 0)) / FWHM_PER_SIGMA
    smooth = gaussian_filter(np.asarray(volume, dtype=np.float32), sigmas, mode="nearest")
    to_image = np.linalg.inv(affine) @ grid_affine
    return affine_transform(smooth, to_image[:3, :3], to_image[:3, 3], tuple(spatial_size), order=1, mode="constant")


def _by(sizes: Sequence[float]) -> str:
    return " x ".join(f"{size:g}" for size in sizes)
