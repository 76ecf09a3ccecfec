"""Mid-flow blocks: convolutions at constant width around an identity path."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from custom_nets.conv_unit import ConvUnit, make_norm
from custom_nets.depthwise_conv import DepthwiseConv3d
from custom_nets.separable_conv import PointwiseConv3d


class MidFlow3d(nn.Module):
    """Three convolution units at constant width, plus an identity skip.

        x --[unit]--[unit]--[unit]--(+)-- y
         \\__________________________/

    Args:
        channels: input and output channels.
        kernel_size: size per axis.
        separable: separable units (the paper's text) or standard ones (the released code).
        norm: see `make_norm`.
        dropout: rate of dropped values.

    Shapes: `(B, C, D, H, W)` in, the same out.
    Source: Dimitri et al. (2022), abstract and released code.
    """

    def __init__(self, channels: int, kernel_size: Sequence[int], separable: bool, norm: str, dropout: float) -> None:
        super().__init__()
        self.units = nn.Sequential(
            *[ConvUnit(channels, channels, kernel_size, separable, norm, dropout) for _ in range(3)]
        )

    def forward(self, volume: Tensor) -> Tensor:
        return volume + self.units(volume)


class ResidualMidFlow3d(nn.Module):
    """Separable units in pre-normalised residual form; the identity path keeps each participant's scale.

        x --(+)----------------------------------------(+)-- ...
         \\__[norm]--[depthwise]--[pointwise]--ReLU--[pointwise]__/

    Args:
        channels: input and output channels.
        n_units: number of residual units; 0 is the identity.
        norm: see `make_norm`; `group` treats a batch of one like a batch of n.
        kernel_size: size of the depthwise filters.
        expansion: width between the two pointwise convolutions, relative to `channels`.

    Shapes: `(B, C, D, H, W)` in, the same out.
    Source: ours; same operations as the paper's separable mid-flow, ordered as in Liu et al. (2022), arXiv 2201.03545.
    """

    def __init__(
        self, channels: int, n_units: int, norm: str, kernel_size: Sequence[int] = (3, 3, 3), expansion: int = 2
    ) -> None:
        super().__init__()
        self.units = nn.ModuleList(
            nn.Sequential(
                make_norm(norm, channels),
                DepthwiseConv3d(channels, kernel_size),
                PointwiseConv3d(channels, expansion * channels),
                nn.ReLU(),
                PointwiseConv3d(expansion * channels, channels),
            )
            for _ in range(n_units)
        )

    def forward(self, volume: Tensor) -> Tensor:
        for unit in self.units:
            volume = volume + unit(volume)
        return volume
