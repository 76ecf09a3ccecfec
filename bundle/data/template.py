"""T1w contrast and tissue fractions of an average brain, from the MNI template that nilearn ships."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from nibabel.processing import resample_from_to, smooth_image
from nilearn.datasets import (
    load_mni152_brain_mask,
    load_mni152_gm_template,
    load_mni152_template,
    load_mni152_wm_template,
)

FIELD_OF_VIEW_START_MM = (-96.0, -113.0, -62.0)
FIELD_OF_VIEW_MM = (192.0, 192.0, 144.0)
OVERSAMPLING = 2
"""Maps are kept on a grid this many times finer than the images, so that warping them does not blur."""
TISSUES = ("CSF", "grey matter", "white matter")


@dataclass(frozen=True)
class BrainTemplate:
    """The undeformed brain.

    Attributes:
        t1w: `(2D, 2H, 2W)` float32: white matter near 1, 0 outside the brain.
        tissues: `(3, 2D, 2H, 2W)` float32: shares of a voxel in the order of `TISSUES`; their sum is the share that is brain.
        affine: `(4, 4)` voxel to world (RAS, mm) of the image grid.
        spatial_shape: the image grid `(D, H, W)`.
        spacing_mm: isotropic voxel size of the image grid.
    """

    t1w: np.ndarray
    tissues: np.ndarray
    affine: np.ndarray
    spatial_shape: tuple[int, int, int]
    spacing_mm: float

    def points_mm(self) -> np.ndarray:
        """World coordinates of the image grid's voxels, `(3, D, H, W)` float32."""
        axes = [start + self.spacing_mm * np.arange(size) for start, size in zip(self.affine[:3, 3], self.spatial_shape, strict=True)]  # fmt: skip
        return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)


def load_brain_template(spacing_mm: float) -> BrainTemplate:
    """Build the template on a 192 x 192 x 144 mm box at `spacing_mm` (3 mm gives 64 x 64 x 48 voxels).

    T1w, grey- and white-matter shares are those of the MNI ICBM152 2009a template; what is neither within its brain mask is
    CSF. Nothing is decided by a threshold: the brain's edge has partial volumes.

    Raises:
        ValueError: if the box is not a whole number of voxels.
    """
    shape = [extent / spacing_mm for extent in FIELD_OF_VIEW_MM]
    if any(size != round(size) for size in shape):
        raise ValueError(f"spacing_mm must divide {FIELD_OF_VIEW_MM} mm exactly, got {spacing_mm}: try 2, 3, 4 or 6.")
    spatial_shape = (round(shape[0]), round(shape[1]), round(shape[2]))
    fine_spacing = spacing_mm / OVERSAMPLING
    fine_grid = (tuple(size * OVERSAMPLING for size in spatial_shape), _affine(fine_spacing))

    def on_grid(image: nib.Nifti1Image) -> np.ndarray:
        image = nib.Nifti1Image(image.get_fdata(dtype=np.float32), image.affine)
        smoothed = smooth_image(image, fwhm=0.6 * spacing_mm)
        return resample_from_to(smoothed, fine_grid, order=1).get_fdata(dtype=np.float32)

    loaders = (load_mni152_template, load_mni152_brain_mask, load_mni152_gm_template, load_mni152_wm_template)
    t1w, brain, grey, white = (on_grid(load(resolution=1)) for load in loaders)
    brain = np.clip(2 * brain - 0.5, 0, 1)
    t1w = t1w * brain * np.square(white).sum() / (t1w * np.square(white)).sum()
    tissues = np.stack([np.clip(1 - grey - white, 0, None), grey, white]) * brain
    return BrainTemplate(t1w.astype(np.float32), tissues.astype(np.float32), _affine(spacing_mm), spatial_shape, spacing_mm)  # fmt: skip


def _affine(spacing_mm: float) -> np.ndarray:
    """Voxel centres such that grids of any spacing fill the same box."""
    affine = np.diag([spacing_mm] * 3 + [1.0])
    affine[:3, 3] = np.asarray(FIELD_OF_VIEW_START_MM) + spacing_mm / 2
    return affine
