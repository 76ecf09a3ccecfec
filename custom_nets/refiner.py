"""Separable convolutions that learn what a linear reconstruction leaves."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from custom_nets.folding import depth_to_space, space_to_depth
from custom_nets.mid_flow import ResidualMidFlow3d
from custom_nets.separable_conv import PointwiseConv3d


class Refiner(nn.Module):
    """Space folded into channels, residual separable units, and back; all modalities together, one launch per layer.

    The last layer starts at zero, so an untrained refiner changes nothing. Maps of places, one learnt value per channel and
    folded voxel, let the same filters do different things in different parts of the brain. Once `fit_box` has been called, only the
    box around the brain is computed.

    Args:
        n_modalities: M.
        spatial_size: the grid `(D, H, W)`.
        fold: voxels along each axis that are folded into channels.
        width: channels.
        n_units: residual separable units.
        n_places: maps of places.
        norm: see `make_norm`.
        kernel_size: of the depthwise filters.

    Attributes:
        box: first and last voxel (exclusive) along each axis of what is computed.

    Shapes: `(B, M, D, H, W)` scaled images in, the correction to add, of the same shape, out.
    """

    box: list[int]

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
        self.box = [bound for size in spatial_size for bound in (0, size)]

    def fit_box(self, brain_mask: Tensor) -> None:
        """Compute only the smallest box of whole folded voxels that holds the brain, `(D, H, W)`; all of the grid without a brain."""
        inside = torch.nonzero(brain_mask.cpu() > 0)
        size = torch.tensor(brain_mask.shape)
        first = inside.amin(0) if len(inside) else torch.zeros_like(size)
        last = inside.amax(0) + 1 if len(inside) else size
        bounds = torch.stack([first // self.fold * self.fold, -(-last // self.fold) * self.fold], dim=1)
        self.box = bounds.flatten().tolist()

    def forward(self, scaled: Tensor) -> Tensor:
        d0, d1, h0, h1, w0, w1 = self.box
        r = self.fold
        places = self.places[:, d0 // r : d1 // r, h0 // r : h1 // r, w0 // r : w1 // r]
        places = places.to(scaled.dtype).expand(scaled.shape[0], -1, -1, -1, -1)
        folded = space_to_depth(scaled[:, :, d0:d1, h0:h1, w0:w1], r)
        features = self.entry(torch.cat([folded, places], dim=1))
        correction = depth_to_space(self.head(self.body(features)), r)
        depth, height, width = scaled.shape[2:]
        return F.pad(correction, [w0, width - w1, h0, height - h1, d0, depth - d1])
