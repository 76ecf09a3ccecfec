"""Pointwise and depthwise-separable 3D convolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from custom_nets.depthwise_conv import DepthwiseConv3d


class PointwiseConv3d(nn.Linear):
    """A 1x1x1 convolution, computed as a matrix product over the channel axis.

    In channels-last memory this is a view and one matrix product, where `conv3d` may copy and take a slow kernel.

    Shapes: `(B, C_in, D, H, W)` in, `(B, C_out, D, H, W)` out, channels-last in memory.
    """

    def forward(self, volume: Tensor) -> Tensor:
        return F.linear(volume.permute(0, 2, 3, 4, 1), self.weight, self.bias).permute(0, 4, 1, 2, 3)


class SeparableConv3d(nn.Sequential):
    """Depthwise, then pointwise convolution: `k C + C C'` weights where a standard one has `k C C'`.

    Args:
        in_channels: C.
        out_channels: C'.
        kernel_size: spatial size of the depthwise part; k is its product.

    Shapes: `(B, C, D, H, W)` in, `(B, C', D, H, W)` out ("same" padding).
    Source: Dimitri et al. (2022), the separable layers of the mid-flow; bias on the pointwise part only.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Sequence[int]) -> None:
        super().__init__(
            DepthwiseConv3d(in_channels, kernel_size),
            PointwiseConv3d(in_channels, out_channels),
        )
