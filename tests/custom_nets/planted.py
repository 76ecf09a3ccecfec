"""Images whose anatomy is known: local bumps that several modalities share, and noise, in an ellipsoid."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.small_networks import GRID

MODALITIES = ("T1w", "FA", "NDI")


def planted_images(
    n: int, first: int = 0, n_factors: int = 40, n_modalities: int = 3, shift: int = 0, noise: float = 0.3
) -> Tensor:
    """`(n, M, D, H, W)` images of the same planted anatomy for every call; 0 outside the ellipsoid.

    Args:
        n: participants.
        first: number of the first one; each is the same whoever else is asked for.
        n_factors: bumps of 2 to 3 voxels, each with a size of its own in each modality.
        n_modalities: M.
        shift: voxels by which the ellipsoid lies off the middle of the first axis.
        noise: standard deviation in each voxel; the bumps' peaks have 1 to 2.
    """
    axes = [torch.arange(size) - (size - 1) / 2 for size in GRID]
    x, y, z = torch.meshgrid(axes[0] - shift, axes[1], axes[2], indexing="ij")
    brain = (x / 13) ** 2 + (y / 14) ** 2 + (z / 11) ** 2 < 1
    generator = torch.Generator().manual_seed(0)
    centres = torch.rand(n_factors, 3, generator=generator) * 2 - 1
    centres = centres * torch.tensor([9.0, 10.0, 7.0])
    widths = 2 + torch.rand(n_factors, generator=generator)
    distance = sum((axis - centres[:, k].view(-1, 1, 1, 1)) ** 2 for k, axis in enumerate((x, y, z)))
    bumps = torch.exp(-distance / (2 * widths.view(-1, 1, 1, 1) ** 2)) * brain
    sizes = 1 + torch.rand(n_factors, n_modalities, generator=generator)
    mean = (10 - (x.abs() + y + z.abs()) / 5) * brain
    people = []
    for number in range(first, first + n):
        generator = torch.Generator().manual_seed(1000 + number)
        scores = torch.randn(n_factors, generator=generator)
        own = torch.einsum("f,fm,fdhw->mdhw", scores, sizes, bumps)
        people.append(mean + own + noise * brain * torch.randn(own.shape, generator=generator))
    return torch.stack(people)


def without(images: Tensor, *channels: int) -> Tensor:
    """The same participants, who lack some modalities."""
    images = images.clone()
    images[:, list(channels)] = torch.nan
    return images
