"""Reconstruction loss in scaled units, inside the brain."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bundle.data.problems import InputProblems
from custom_nets import FusionAutoencoder

KINDS = ("mse", "l1", "bce")


class ReconstructionLoss(nn.Module):
    """Mean over people, modalities and brain voxels of the error between scaled images.

    Scaled units make modalities comparable: with the `residual` scaling an MSE of 1 is what the mean image scores.

    Args:
        network: its scaling and brain mask are used; they are buffers, so they follow fitting and loading.
        kind: `mse`, `l1`, or `bce` (the paper: binary cross-entropy between values in [0, 1]; needs `min_max` scaling).
        modality_weights: modality -> relative weight, of every modality of the network (more may be named); equal if
            None.

    Shapes: two `(B, M, D, H, W)` in the images' units in, a scalar out.

    Raises:
        InputProblems: for another kind, `bce` without `min_max` scaling, or a modality without a weight, or no weight at all.
    """

    def __init__(
        self, network: FusionAutoencoder, kind: str = "mse", modality_weights: Mapping[str, float] | None = None
    ) -> None:
        super().__init__()
        n_modalities = len(network.modalities)
        given = dict.fromkeys(network.modalities, 1.0) if modality_weights is None else modality_weights
        if kind not in KINDS:
            raise InputProblems("Loss", [f"Expected --loss to be one of {KINDS}, got {kind!r}."])
        if kind == "bce" and network.scaling.kind != "min_max":
            raise InputProblems(
                "Loss", ["'bce' needs values in [0, 1]: use a network with scaling: min_max, or --loss mse."]
            )
        if not isinstance(given, Mapping):
            raise InputProblems("Loss", [f"Expected --modality_weights \"{{'T1w': 1, ...}}\" or None, got {given!r}."])
        missing = [modality for modality in network.modalities if float(given.get(modality, -1)) < 0]
        if missing:
            raise InputProblems(
                "Loss",
                [
                    f"Expected a weight of 0 or more for {', '.join(missing)} in --modality_weights, got {dict(given)}: add "
                    "it, or weigh all alike with --modality_weights None."
                ],
            )
        weights = [float(given[modality]) for modality in network.modalities]
        if sum(weights) <= 0:
            raise InputProblems("Loss", ["All --modality_weights are 0: give one of them a weight."])
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
