"""One modality's path from embedding map to image: the paper's decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from custom_nets.conv_unit import ConvUnit
from custom_nets.mid_flow import MidFlow3d


class UpsamplingStage(nn.Module):
    """`nearest x2 -> unit to the skip's width -> concatenate the skip -> mid-flow -> unit` at twice that width.

    Without skips the first unit goes to the doubled width at once, so that all later layers keep their size.

    Shapes: `(B, C_in, D, H, W)` and the skip `(B, C, 2D, 2H, 2W)` in; `(B, 2C, 2D, 2H, 2W)` out.
    """

    def __init__(
        self,
        in_channels: int,
        skip_channels: int,
        with_skip: bool,
        kernel_size: Sequence[int],
        separable_mid_flow: bool,
        separable_units: bool,
        norm: str,
        dropout: float,
    ) -> None:
        super().__init__()
        channels = 2 * skip_channels
        entry_channels = skip_channels if with_skip else channels
        self.entry = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="nearest"),
            ConvUnit(in_channels, entry_channels, kernel_size, separable_units, norm, dropout),
        )
        self.body = nn.Sequential(
            MidFlow3d(channels, kernel_size, separable_mid_flow, norm, dropout),
            ConvUnit(channels, channels, kernel_size, separable_units, norm, dropout),
        )

    def forward(self, volume: Tensor, skips: list[Tensor]) -> Tensor:
        maps = [self.entry(volume)]
        maps.extend(skips)
        return self.body(torch.cat(maps, dim=1))


class UpsamplingDecoder(nn.Module):
    """The paper's decoder: one `UpsamplingStage` per encoder stage and a 1x1x1 head.

    Args:
        code_channels: channels of the fused embedding map.
        widths: the encoder's widths; the skips have `widths[-2], ..., widths[0], widths[0]` channels.
        with_skips: concatenate the own modality's encoder maps (the released network), or none: strict bottleneck.
        kernel_size: of every unit.
        separable_mid_flow: see `PoolingEncoder`.
        separable_units: see `PoolingEncoder`.
        norm: see `make_norm`.
        dropout: rate of dropped values.

    Shapes: `(B, code_channels, D, H, W)` and the skips, coarse to fine, in; `(B, 1, 2^s D, ...)` out, before any
    squashing to the range of the images.
    Source: Dimitri et al. (2022), released code.
    """

    def __init__(
        self,
        code_channels: int,
        widths: Sequence[int],
        with_skips: bool,
        kernel_size: Sequence[int],
        separable_mid_flow: bool,
        separable_units: bool,
        norm: str,
        dropout: float,
    ) -> None:
        super().__init__()
        self.with_skips = with_skips
        skip_widths = [*widths[-2::-1], widths[0]]
        in_widths = [code_channels, *[2 * width for width in skip_widths[:-1]]]
        self.stages = nn.ModuleList(
            UpsamplingStage(c_in, c, with_skips, kernel_size, separable_mid_flow, separable_units, norm, dropout)
            for c_in, c in zip(in_widths, skip_widths, strict=True)
        )
        self.head = nn.Conv3d(2 * widths[0], 1, kernel_size=1)

    def forward(self, code_map: Tensor, skips: list[Tensor]) -> Tensor:
        volume = code_map
        for number, stage in enumerate(self.stages):
            volume = stage(volume, skips[number : number + 1] if self.with_skips else [])
        return self.head(volume)
