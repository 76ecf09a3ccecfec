"""Noise-free T1w, FA and NDI maps of an average brain, from the MNI template that nilearn ships."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from nibabel.processing import resample_from_to, smooth_image
from nilearn.datasets import load_mni152_gm_template, load_mni152_template, load_mni152_wm_template

FIELD_OF_VIEW_START_MM = (-96.0, -113.0, -62.0)
FIELD_OF_VIEW_MM = (192.0, 192.0, 144.0)
OVERSAMPLING = 2
"""Maps are kept on a grid this many times finer than the images, so that warping them does not blur."""


@dataclass(frozen=True)
class BrainTemplate:
    """The undeformed brain.

    Attributes:
        maps: `(3, 2D, 2H, 2W)` float32: T1w (white matter near 1), FA and NDI (fractions), zero outside the brain.
        is_brain: `(2D, 2H, 2W)` float32 brain mask, values 0 to 1.
        affine: `(4, 4)` voxel to world (RAS, mm) of the image grid.
        spatial_shape: the image grid `(D, H, W)`.
        spacing_mm: isotropic voxel size of the image grid.
    """

    maps: np.ndarray
    is_brain: np.ndarray
    affine: np.ndarray
    spatial_shape: tuple[int, int, int]
    spacing_mm: float


def load_brain_template(spacing_mm: float) -> BrainTemplate:
    """Build the template on a 192 x 192 x 144 mm box at `spacing_mm` (3 mm gives 64 x 64 x 48 voxels).

    T1w is the MNI ICBM152 2009a template itself; FA and NDI are composed from its tissue maps, since no package ships
    subject-level diffusion maps: FA = .10 GM + .48 WM^2, NDI = .42 GM + .62 WM.

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
        smoothed = smooth_image(image, fwhm=0.6 * spacing_mm)
        return resample_from_to(smoothed, fine_grid, order=1).get_fdata(dtype=np.float32)

    t1w, grey, white = (
        on_grid(load(resolution=1)) for load in (load_mni152_template, load_mni152_gm_template, load_mni152_wm_template)
    )
    is_brain = np.clip((grey + white + 0.5 * (t1w > 0.15)) * 2 - 0.5, 0, 1).astype(np.float32)
    t1w = t1w / np.percentile(t1w[white > 0.9], 50)
    maps = np.stack([t1w, 0.10 * grey + 0.48 * white**2, 0.42 * grey + 0.62 * white]) * is_brain
    return BrainTemplate(maps.astype(np.float32), is_brain, _affine(spacing_mm), spatial_shape, spacing_mm)


def _affine(spacing_mm: float) -> np.ndarray:
    """Voxel centres such that grids of any spacing fill the same box."""
    affine = np.diag([spacing_mm] * 3 + [1.0])
    affine[:3, 3] = np.asarray(FIELD_OF_VIEW_START_MM) + spacing_mm / 2
    return affine
