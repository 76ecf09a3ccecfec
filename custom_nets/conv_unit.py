"""The paper's basic unit: convolution, normalisation, ELU, dropout."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from custom_nets.depthwise_conv import same_padding
from custom_nets.separable_conv import SeparableConv3d

NORMS = ("batch", "group", "instance")


class StandardConv3d(nn.Conv3d):
    """Dense convolution with "same" padding for odd and even kernels; an even one pads one voxel more at the far end.

    Shapes: `(B, C_in, D, H, W)` in, `(B, C_out, D, H, W)` out.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Sequence[int]) -> None:
        depth, height, width = kernel_size
        super().__init__(in_channels, out_channels, (depth, height, width))
        self.same = same_padding(kernel_size)
        nn.init.kaiming_normal_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, volume: Tensor) -> Tensor:
        return F.conv3d(F.pad(volume, self.same), self.weight, self.bias)


def make_norm(norm: str, channels: int) -> nn.Module:
    """`batch` (the paper), `group` (one group: the same at batch 1 and n, keeps channel means) or `instance`.

    Raises:
        ValueError: for any other name.
    """
    if norm == "batch":
        return nn.BatchNorm3d(channels)
    if norm == "group":
        return nn.GroupNorm(1, channels)
    if norm == "instance":
        return nn.InstanceNorm3d(channels, affine=True)
    raise ValueError(f"Expected norm to be one of {NORMS}, got {norm!r}.")


class ConvUnit(nn.Sequential):
    """`conv -> norm -> ELU -> dropout`, stride 1, "same" padding.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        kernel_size: size per axis.
        separable: depthwise-separable instead of standard convolution.
        norm: see `make_norm`.
        dropout: rate of dropped values.

    Shapes: `(B, C_in, D, H, W)` in, `(B, C_out, D, H, W)` out.
    Source: Dimitri et al. (2022), released code: kernel 5x6x5, batch norm, dropout 0.1, He-normal weights.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sequence[int],
        separable: bool = False,
        norm: str = "batch",
        dropout: float = 0.1,
    ) -> None:
        conv = SeparableConv3d if separable else StandardConv3d
        super().__init__(
            conv(in_channels, out_channels, kernel_size),
            make_norm(norm, out_channels),
            nn.ELU(),
            nn.Dropout(dropout),
        )
