"""A source's brain mask, beside the image that it is of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bundle.data.grids import SAME_GRID_MM, corners_apart_mm
from bundle.data.problems import InputProblems


def masked(volume: np.ndarray, affine: np.ndarray, mask: Path) -> np.ndarray:
    """The image with 0 where the mask is not above 0, whatever was there: some tools write NaN outside the brain.

    Args:
        volume: `(D, H, W)`.
        affine: `(4, 4)`, of it.
        mask: on the same grid.

    Raises:
        InputProblems: if it is not on the same grid.
    """
    image: Any = nib.load(mask)
    if image.shape != volume.shape or corners_apart_mm(volume.shape, image.affine, affine) > SAME_GRID_MM:
        raise InputProblems("Masks", [f"the mask {mask} is on another grid than the image (expected {volume.shape}, got {image.shape}, or another affine): resample it to the image."])  # fmt: skip
    return np.where(np.asarray(image.dataobj) > 0, volume, 0)
