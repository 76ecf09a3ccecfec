"""How well a network knows images: what it leaves of them, and how far they are from those it was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from custom_nets import FusionAutoencoder
from custom_nets.presence import modalities_present

FARTHEST = 3.0
"""Root mean square distance from the mean image, in that of a training participant, from which an image is told of: training
participants have 0.7 to 1.8, fractions under another map's name and Jacobians without their logarithm 3.4 and more."""


def reconstruction_errors(network: FusionAutoencoder, images: Tensor, drawn: Tensor) -> Tensor:
    """Mean squared error in scaled units in the brain, over the modalities that are there: `(B,)`."""
    scaling = network.scaling
    difference = (drawn - images.nan_to_num()) * scaling.inverse_gain  # 0 outside the brain
    present = modalities_present(images)
    per_map = difference.square().sum(dim=(2, 3, 4)) * present
    return per_map.sum(dim=1) / (present.sum(dim=1) * scaling.brain_mask.sum())


def unlike_training(network: FusionAutoencoder, images: Tensor, names: Sequence[str]) -> list[str]:
    """A phrase for each map that looks like no training participant's: of another kind, in other units, or not in the space.

    Min-max scaling keeps no spread between participants, so nothing is said with it.
    """
    scaling = network.scaling
    if scaling.kind != "residual":
        return []
    squared = ((images.nan_to_num() - scaling.mean_image) * scaling.inverse_gain).square().sum(dim=(2, 3, 4))
    distances = (squared / scaling.brain_mask.sum()).sqrt() * modalities_present(images)
    return [
        f"{names[row]} {network.modalities[column]} ({float(distances[row, column]):.1f})"
        for row, column in torch.nonzero(distances > FARTHEST).tolist()
    ]
