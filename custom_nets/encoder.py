"""One modality's path from image to embedding map: the paper's encoder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from custom_nets.conv_unit import ConvUnit
from custom_nets.mid_flow import MidFlow3d


class PoolingStage(nn.Module):
    """`entry unit -> mid-flow -> exit unit -> 2x2x2 max-pool -> dropout`; also returns the mid-flow's output.

    Shapes: `(B, C_in, D, H, W)` in; `(B, C, D/2, H/2, W/2)` and `(B, C, D, H, W)` out.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_size: Sequence[int],
        separable_mid_flow: bool,
        separable_units: bool,
        norm: str,
        dropout: float,
    ) -> None:
        super().__init__()
        self.entry = ConvUnit(in_channels, channels, kernel_size, separable_units, norm, dropout)
        self.mid_flow = MidFlow3d(channels, kernel_size, separable_mid_flow, norm, dropout)
        self.exit = nn.Sequential(
            ConvUnit(channels, channels, kernel_size, separable_units, norm, dropout),
            nn.MaxPool3d(2),
            nn.Dropout(dropout),
        )

    def forward(self, volume: Tensor) -> tuple[Tensor, Tensor]:
        before_pooling = self.mid_flow(self.entry(volume))
        return self.exit(before_pooling), before_pooling


class PoolingEncoder(nn.Module):
    """The paper's encoder: one `PoolingStage` per width, one input channel.

    Args:
        widths: channels per stage; each stage halves the grid.
        kernel_size: of every unit.
        separable_mid_flow: separable (paper) or standard (released code) mid-flow.
        separable_units: make entry and exit units separable too.
        norm: see `make_norm`.
        dropout: rate of dropped values.

    Shapes: `(B, 1, D, H, W)` in; `(B, widths[-1], D/2^s, ...)` and the skips out, coarse to fine: every stage's output
    but the last one's, then the first mid-flow's at full resolution.
    Source: Dimitri et al. (2022), released code.
    """

    def __init__(
        self,
        widths: Sequence[int],
        kernel_size: Sequence[int],
        separable_mid_flow: bool,
        separable_units: bool,
        norm: str,
        dropout: float,
    ) -> None:
        super().__init__()
        in_widths = [1, *widths[:-1]]
        self.stages = nn.ModuleList(
            PoolingStage(c_in, c, kernel_size, separable_mid_flow, separable_units, norm, dropout)
            for c_in, c in zip(in_widths, widths, strict=True)
        )

    def forward(self, volume: Tensor) -> tuple[Tensor, list[Tensor]]:
        skips: list[Tensor] = []
        for stage in self.stages:
            volume, before_pooling = stage(volume)
            if len(skips) == 0:
                skips.append(before_pooling)
            skips.append(volume)
        return volume, skips[:-1][::-1]
