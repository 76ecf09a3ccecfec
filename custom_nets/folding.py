"""Lossless exchange of space for channels, in channels-last memory."""

from __future__ import annotations

from torch import Tensor


def space_to_depth(volume: Tensor, factor: int) -> Tensor:
    """`(B, C, D, H, W)` to `(B, r^3 C, D/r, H/r, W/r)` with r = `factor`; `depth_to_space` undoes it.

    MONAI's `pixelunshuffle` orders channels otherwise and leaves channels-last memory, which costs copies here.
    """
    batch, channels, depth, height, width = volume.shape
    r = factor
    cells = volume.permute(0, 2, 3, 4, 1).reshape(batch, depth // r, r, height // r, r, width // r, r, channels)
    cells = cells.permute(0, 1, 3, 5, 2, 4, 6, 7)
    folded = cells.reshape(batch, depth // r, height // r, width // r, r * r * r * channels)
    return folded.permute(0, 4, 1, 2, 3)


def depth_to_space(volume: Tensor, factor: int) -> Tensor:
    """`(B, r^3 C, D, H, W)` to `(B, C, rD, rH, rW)` with r = `factor`: the inverse of `space_to_depth`."""
    batch, channels, depth, height, width = volume.shape
    r = factor
    out_channels = channels // (r * r * r)
    cells = volume.permute(0, 2, 3, 4, 1).reshape(batch, depth, height, width, r, r, r, out_channels)
    cells = cells.permute(0, 1, 4, 2, 5, 3, 6, 7)
    unfolded = cells.reshape(batch, depth * r, height * r, width * r, out_channels)
    return unfolded.permute(0, 4, 1, 2, 3)
