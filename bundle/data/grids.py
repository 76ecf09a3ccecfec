"""Whether two voxel grids of one shape lie on each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

SAME_GRID_MM = 0.5
"""Corners farther apart are another grid. Single precision moves the corners of a head by up to 0.36 mm where the affine is kept as a
quaternion (qform); an origin that is wrong by half a voxel on each axis moves those of the finest maps (0.7 mm) by 0.6 mm."""


def corners_apart_mm(shape: Sequence[int], affine: np.ndarray, other: np.ndarray) -> float:
    """Largest distance of corresponding corner voxels of two grids, in mm: no voxel is farther from its fellow.

    Args:
        shape: three sizes, of both.
        affine, other: `(4, 4)`.
    """
    corners = np.array([(*corner, 1) for corner in product(*((0, size - 1) for size in shape[:3]))])
    apart = corners @ (np.asarray(affine, np.float64) - np.asarray(other, np.float64))[:3].T
    return float(np.linalg.norm(apart, axis=1).max())
