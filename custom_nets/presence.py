"""Which modalities participants have: an absent one is NaN everywhere."""

import torch
from torch import Tensor


def modalities_present(images: Tensor) -> Tensor:
    """Which modalities each participant has: `(B, M, D, H, W)` to `(B, M)` bool."""
    return ~torch.isnan(images).flatten(2).all(dim=2)


def every_subset(n_modalities: int) -> Tensor:
    """`(2^M - 1, M)` bool: every subset of modalities but the empty one, small ones first."""
    numbers = torch.arange(1, 2**n_modalities)
    subsets = (numbers[:, None] >> torch.arange(n_modalities)) & 1
    return subsets[torch.argsort(subsets.sum(dim=1), stable=True)].bool()
