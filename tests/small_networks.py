"""Networks of the default kind that take a second to fit."""

from collections.abc import Sequence
from typing import Any

import torch

from custom_nets import FusionAutoencoder, RefinedLinearAutoencoder

GRID = (32, 32, 24)


def small_network(
    modalities: Sequence[str] = ("T1w", "FA"), grid: Sequence[int] = GRID, **changes: Any
) -> RefinedLinearAutoencoder:
    """An embedding of 24 values, its refiner of one unit; nothing cross-fitted unless asked."""
    settings = {"embedding_size": 24, "n_components": 48, "width": 8, "n_units": 1, "n_cross_fits": 0}
    return RefinedLinearAutoencoder(modalities, grid, **settings | changes)


def randomised(network: FusionAutoencoder) -> FusionAutoencoder:
    """What starts at zero would hide everything before it: a network as after training."""
    torch.manual_seed(5)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return network
