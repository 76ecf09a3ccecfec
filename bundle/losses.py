"""Reconstruction loss in scaled units, inside the brain."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bundle.data.problems import InputProblems
from custom_nets import FusionAutoencoder
from custom_nets.presence import modalities_present

KINDS = ("mse", "l1", "bce")


class ReconstructionLoss(nn.Module):
    """Mean over participants, modalities and brain voxels of the error between scaled images, of the maps that participants have.

    Binary cross-entropy is summed over modalities, as the released code does.

    Scaled units make modalities comparable: with the `residual` scaling an MSE of 1 is what the mean image scores.

    Args:
        network: its scaling and brain mask are used; they are buffers, so they follow fitting and loading.
        kind: `mse`, `l1`, or `bce` (the paper: binary cross-entropy between values in [0, 1]; needs the paper's network with `min_max` scaling).
        modality_weights: modality -> relative weight, of every modality of the network (more may be named); equal if
            None.

    Shapes: two `(B, M, D, H, W)` in the images' units in, the target NaN where a map is absent; a scalar out.

    Raises:
        InputProblems: for another kind, `bce` with a network that does not squash, or a modality without a weight, or no weight at all.
    """

    def __init__(
        self, network: FusionAutoencoder, kind: str = "mse", modality_weights: Mapping[str, float] | None = None
    ) -> None:
        super().__init__()
        n_modalities = len(network.modalities)
        given = dict.fromkeys(network.modalities, 1.0) if modality_weights is None else modality_weights
        if kind not in KINDS:
            raise InputProblems("Loss", [f"Expected --loss to be one of {KINDS}, got {kind!r}."])
        if kind == "bce" and not network.squashes:
            raise InputProblems(
                "Loss",
                ["'bce' needs outputs in [0, 1]: use the paper's network with scaling: min_max, or --loss mse."],
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
        self._network = (network,)
        self.register_buffer("weights", torch.tensor(weights) * n_modalities / sum(weights))

    def forward(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        network = self._network[0]
        scaling = network.scaling
        present = modalities_present(images)
        images = images.nan_to_num()  # NaN times nothing is NaN, also in gradients
        if self.kind == "bce":
            predicted, target = scaling(reconstruction).clamp(0, 1), scaling(images).clamp(0, 1)
            error = F.binary_cross_entropy(predicted, target, reduction="none") * scaling.brain_mask
        else:
            difference = (reconstruction - images) * scaling.inverse_gain  # 0 outside the mask
            error = difference.square() if self.kind == "mse" else difference.abs()
        n_voxels = scaling.brain_mask.sum()
        per_map = error.sum(dim=(2, 3, 4)) * present
        per_modality = per_map.sum(dim=0) / (present.sum(dim=0).clamp_min(1) * n_voxels)
        weighted = per_modality * self.weights.to(per_modality.device)
        return weighted.sum() if self.kind == "bce" else weighted.mean()
