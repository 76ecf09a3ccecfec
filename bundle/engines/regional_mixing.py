"""More people than there are: neighbours' anatomy blended region by region."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from bundle.data.problems import InputProblems
from bundle.engines.batch import PrepareReconstructionBatch
from custom_nets import FusionAutoencoder
from custom_nets.fusion import maps_present


class PrepareMixedBatch(PrepareReconstructionBatch):
    """Blends each person with the next one of the batch, by weights that vary smoothly over the brain.

    With r the residual of the mean image and a an angle in [0, pi/2] that is drawn on a coarse grid and interpolated,
    the blend is mean + cos(a) r + sin(a) r': all maps alike, and of the residuals' variance, since cos^2 + sin^2 = 1.
    What is individual is mostly local, so a few hundred people give many more plausible combinations, and the network
    learns less of them by heart. In the manner of mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019).

    Args:
        network: its mean image is blended around.
        share: of batches that are blended.
        cells: the coarse grid has so many points along each axis.

    Raises:
        InputProblems: if the share is not in [0, 1].
    """

    def __init__(self, network: FusionAutoencoder, share: float = 0.5, cells: int = 3) -> None:
        super().__init__()
        if not 0 <= share <= 1:
            raise InputProblems("Training", [f"--mixing: expected a share of batches in [0, 1], got {share}."])
        self.network, self.share, self.cells = network, share, cells

    def augment(self, images: Tensor) -> Tensor:
        """Blend some of the batches."""
        return self.mix(images) if torch.rand(()) < self.share else images

    def mix(self, images: Tensor) -> Tensor:
        """`(B, M, D, H, W)` to the same; a person alone in a batch stays as they are, a blend has the maps that both have.

        Whoever shares no map with the other stays as they are, too.
        """
        if len(images) < 2:
            return images
        coarse = torch.rand(len(images), 1, self.cells, self.cells, self.cells) * (math.pi / 2)
        angle = F.interpolate(coarse.to(images), size=images.shape[2:], mode="trilinear", align_corners=True)
        mean_image = self.network.scaling.mean_image
        residual = images - mean_image
        blend = mean_image + angle.cos() * residual + angle.sin() * residual.roll(1, dims=0)
        has_a_map = maps_present(blend).any(dim=1).view(-1, 1, 1, 1, 1)
        return torch.where(has_a_map, blend, images)
