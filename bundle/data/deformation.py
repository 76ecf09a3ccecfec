"""Diffeomorphic warps and their Jacobian determinants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def border_window(spatial_shape: Sequence[int], margin_voxels: int) -> np.ndarray:
    """`(D, H, W)` weights that rise from 0 at the border to 1 at `margin_voxels` inside (raised cosine)."""
    ramps = []
    for size in spatial_shape:
        to_border = np.minimum(np.arange(size), np.arange(size)[::-1])
        ramps.append(0.5 - 0.5 * np.cos(np.pi * np.clip(to_border / margin_voxels, 0, 1)))
    return (ramps[0][:, None, None] * ramps[1][:, None] * ramps[2]).astype(np.float32)


def exponentiate(velocity: Tensor, steps: int = 6) -> Tensor:
    """Displacement of the diffeomorphism exp(v) by scaling and squaring (Arsigny et al. 2006).

    Args:
        velocity: `(3, D, H, W)` stationary velocity in voxels.
        steps: number of squarings; velocities divided by 2 to their power should stay below half a voxel.

    Returns:
        `(3, D, H, W)` displacement u in voxels: a point x goes to x + u(x).
    """
    displacement = velocity / 2**steps
    for _ in range(steps):
        displacement = displacement + sample(displacement, displacement, padding_mode="border")
    return displacement


def sample(volumes: Tensor, displacement: Tensor, padding_mode: str = "zeros", oversampling: int = 1) -> Tensor:
    """Trilinear values of `volumes` at x + u(x), on the grid of the displacement.

    Args:
        volumes: `(C, D * o, H * o, W * o)` with o = `oversampling`, covering the same box as the displacement.
        displacement: `(3, D, H, W)` in voxels of its own grid.

    Returns:
        `(C, D, H, W)`.
    """
    shape = displacement.shape[1:]
    axes = [torch.arange(size, dtype=displacement.dtype) for size in shape]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij")) + displacement
    # align_corners=False: -1 and 1 are the outer faces of the box, whatever the resolution
    sizes = torch.tensor(shape, dtype=displacement.dtype).view(3, 1, 1, 1)
    grid = ((2 * points + 1) / sizes - 1).flip(0).permute(1, 2, 3, 0)
    expected = tuple(size * oversampling for size in shape)
    if tuple(volumes.shape[1:]) != expected:
        raise ValueError(f"Expected volumes on a grid of {expected}, got {tuple(volumes.shape[1:])}.")
    return F.grid_sample(volumes[None], grid[None], padding_mode=padding_mode, align_corners=False)[0]


def jacobian_determinant(displacement: Tensor) -> Tensor:
    """`det D(x + u(x))`, `(D, H, W)`: above 1 where the warp expands, at or below 0 where it folds.

    Central differences inside, one-sided at the border.
    """
    columns = [torch.stack(torch.gradient(component)) for component in displacement]
    jacobian = torch.stack(columns).permute(2, 3, 4, 0, 1) + torch.eye(3)
    (a, b, c), (d, e, f), (g, h, i) = (row.unbind(-1) for row in jacobian.unbind(-2))
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
