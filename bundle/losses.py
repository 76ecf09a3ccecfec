"""Reconstruction loss in scaled units, inside the brain."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from custom_nets import FusionAutoencoder

KINDS = ("mse", "l1", "bce")


class ReconstructionLoss(nn.Module):
    """Mean over people, modalities and brain voxels of the error between scaled images.

    Scaled units make modalities comparable: with the `residual` scaling an MSE of 1 is what the mean image scores.

    Args:
        network: its scaling and brain mask are used; they are buffers, so they follow fitting and loading.
        kind: `mse`, `l1`, or `bce` (the paper: binary cross-entropy between values in [0, 1]; needs `min_max` scaling).
        modality_weights: relative weight per modality; equal if None.

    Shapes: two `(B, M, D, H, W)` in the images' units in, a scalar out.

    Raises:
        ValueError: for another kind, `bce` without `min_max` scaling, or a wrong number of weights.
    """

    def __init__(
        self, network: FusionAutoencoder, kind: str = "mse", modality_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        n_modalities = len(network.modalities)
        weights = [1.0] * n_modalities if modality_weights is None else list(modality_weights)
        if kind not in KINDS:
            raise ValueError(f"Expected loss to be one of {KINDS}, got {kind!r}.")
        if kind == "bce" and network.scaling.kind != "min_max":
            raise ValueError("Loss 'bce' needs values in [0, 1]: use a network with scaling: min_max, or loss: mse.")
        if len(weights) != n_modalities:
            raise ValueError(f"Expected {n_modalities} modality weights ({network.modalities}), got {weights}.")
        self.kind = kind
        # a tuple hides the network from parameters(): the loss must not own it
        self._scaling = (network.scaling,)
        self.register_buffer("weights", torch.tensor(weights) * n_modalities / sum(weights))

    def forward(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        scaling = self._scaling[0]
        if self.kind == "bce":
            predicted, target = scaling(reconstruction).clamp(0, 1), scaling(images).clamp(0, 1)
            error = F.binary_cross_entropy(predicted, target, reduction="none") * scaling.brain_mask
        else:
            difference = (reconstruction - images) * scaling.inverse_gain  # 0 outside the mask
            error = difference.square() if self.kind == "mse" else difference.abs()
        per_modality = error.sum(dim=(0, 2, 3, 4)) / (len(images) * scaling.brain_mask.sum())
        return (per_modality * self.weights.to(per_modality.device)).mean()
