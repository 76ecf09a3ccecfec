"""Separable convolutions that learn what a linear reconstruction leaves."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from custom_nets.folding import depth_to_space, space_to_depth
from custom_nets.mid_flow import ResidualMidFlow3d
from custom_nets.separable_conv import PointwiseConv3d


class Refiner(nn.Module):
    """Space folded into channels, residual separable units, and back; all modalities together, one launch per layer.

    The last layer starts at zero, so an untrained refiner changes nothing. Maps of places, one learnt value per channel and
    folded voxel, let the same filters do different things in different parts of the brain.

    Args:
        n_modalities: M.
        spatial_size: the grid `(D, H, W)`.
        fold: voxels along each axis that are folded into channels.
        width: channels.
        n_units: residual separable units.
        n_places: maps of places.
        norm: see `make_norm`.
        kernel_size: of the depthwise filters.

    Shapes: `(B, M, D, H, W)` scaled images in, the correction to add, of the same shape, out.
    """

    def __init__(
        self,
        n_modalities: int,
        spatial_size: tuple[int, int, int],
        fold: int,
        width: int,
        n_units: int,
        n_places: int,
        norm: str,
        kernel_size: Sequence[int],
    ) -> None:
        super().__init__()
        self.fold = fold
        channels = n_modalities * fold**3
        self.places = nn.Parameter(torch.randn(n_places, *[size // fold for size in spatial_size]))
        self.entry = PointwiseConv3d(channels + n_places, width)
        self.body = ResidualMidFlow3d(width, n_units, norm, kernel_size)
        self.head = PointwiseConv3d(width, channels)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, scaled: Tensor) -> Tensor:
        places = self.places.to(scaled.dtype).expand(scaled.shape[0], -1, -1, -1, -1)
        features = self.entry(torch.cat([space_to_depth(scaled, self.fold), places], dim=1))
        return depth_to_space(self.head(self.body(features)), self.fold)
