"""Fits the linear embedding: principal axes of each block, then of the whole brain with distant covariances faded out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from custom_nets.folding import space_to_depth

SHIFTS = ((0, 0, 0), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))


@dataclass(frozen=True)
class LinearFitSettings:
    """How the linear embedding is fitted.

    Args:
        n_components: C, components of all blocks together; blocks get them by the variance that they explain.
        most_per_block: at most so many in one block.
        reach: blocks at which the covariance of two components has faded to 0 (triangular along each axis).
        most_participants: the fit takes a random sample of so many, which bounds its memory.
        most_samples: participants times their shifted and mirrored copies; shifts are left out beyond it.
    """

    n_components: int = 3500
    most_per_block: int = 32
    reach: float = 3.0
    most_participants: int = 500
    most_samples: int = 3000


class BlockLayout:
    """Brain voxels in the order of the blocks, and where each comes from in a shifted or mirrored copy of an image.

    Args:
        brain_mask: `(D, H, W)`.
        block: voxels along each side of a block.
        mirror: voxel i along the first axis mirrors voxel `mirror - i`; below 0 if the grid has no plane of symmetry.

    Attributes:
        voxels: `(V,)` flat indices of brain voxels.
        sizes: `(blocks,)` brain voxels of each block of the grid.
        sources: `(K, V)` for every copy, the number of the brain voxel that each voxel takes its value from, V for none.
    """

    def __init__(self, brain_mask: Tensor, block: int, mirror: int) -> None:
        brain_mask = brain_mask.cpu() > 0
        flat = torch.arange(brain_mask.numel()).view(1, 1, *brain_mask.shape)
        by_block = space_to_depth(flat, block)[0].flatten(1).t()  # (blocks, block^3)
        inside = brain_mask.flatten()[by_block]
        self.voxels, self.sizes = by_block[inside], inside.sum(dim=1)
        grid = torch.arange(block // 2, max(brain_mask.shape), block)
        self.centres = torch.cartesian_prod(*[grid[: size // block] for size in brain_mask.shape]).float() / block
        numbers = torch.full_like(flat[0, 0], len(self.voxels))
        numbers.view(-1)[self.voxels] = torch.arange(len(self.voxels))
        copies = []
        for shift in SHIFTS:
            moved = _shifted(numbers, shift, fill=len(self.voxels))
            copies.append(moved.flatten()[self.voxels])
            if mirror >= 0:
                moved = _shifted(moved.flip(0), (mirror - (len(moved) - 1), 0, 0), fill=len(self.voxels))
                copies.append(moved.flatten()[self.voxels])
        self.sources = torch.stack(copies)


def mirror_plane(mean_image: Tensor, least_correlation: float = 0.8) -> int:
    """Which voxel of the first axis mirrors which, found by comparing the mean image with its mirror.

    Args:
        mean_image: `(M, D, H, W)` in RAS orientation.
        least_correlation: below it there is no plane of symmetry.

    Returns:
        s such that voxel i mirrors voxel s - i, or -1.
    """
    size = mean_image.shape[1]
    profile = mean_image.flatten(2).double()
    best, plane = least_correlation, -1
    for s in range(size - 1 - size // 4, size + size // 4):
        low, high = max(0, s - size + 1), min(size - 1, s)
        pairs = torch.stack([profile[:, low : high + 1].flatten(), profile[:, low : high + 1].flip(1).flatten()])
        overlap = float(profile[:, low : high + 1].square().sum() / profile.square().sum().clamp_min(1e-20))
        correlation = float(torch.corrcoef(pairs)[0, 1]) * overlap
        if correlation > best:
            best, plane = correlation, s
    return plane


@torch.no_grad()
def fit_linear_embedding(
    residuals: Tensor, layout: BlockLayout, embedding_size: int, settings: LinearFitSettings
) -> dict[str, Tensor]:
    """Fit on participants who have every modality.

    1. In each block, principal axes of all modalities together, over participants and their mirrored and shifted copies.
    2. The covariance C of all blocks' components, each entry times a taper that falls to 0 with the distance of the
       blocks: what a few participants share far apart is chance.
    3. The embedding's axes are the leading eigenvectors of C. Missing ones (few participants) are 0.

    Args:
        residuals: `(N, M, V)` scaled images in the layout's voxels.
        layout: see `BlockLayout`.
        embedding_size: E.
        settings: see `LinearFitSettings`.

    Returns:
        What `LinearEmbedding` stores.
    """
    n, n_modalities, _ = residuals.shape
    sources = layout.sources[: max(2, min(len(layout.sources), settings.most_samples // n))]
    by_voxel = torch.cat([residuals.permute(2, 0, 1), residuals.new_zeros(1, n, n_modalities)]).float()
    ends = layout.sizes.cumsum(0).tolist()
    bases, variances, components = [], [], []
    for end, size in zip(ends, layout.sizes.tolist(), strict=True):
        if size == 0:
            bases.append(by_voxel.new_zeros(0, 0))
            variances.append(by_voxel.new_zeros(0))
            components.append(by_voxel.new_zeros(len(sources) * n, 0))
            continue
        voxels = by_voxel[sources[:, end - size : end]]  # (K, size, N, M)
        samples = voxels.permute(0, 2, 1, 3).reshape(len(sources) * n, size * n_modalities)
        basis, variance = _principal_axes(samples, settings.most_per_block)
        bases.append(basis)
        variances.append(variance)
        components.append(samples @ basis)
    every = torch.cat(variances)
    chosen = torch.zeros(len(every), dtype=torch.bool)
    chosen[every.argsort(descending=True, stable=True)[: settings.n_components]] = True
    chosen &= every > 0
    counts = torch.stack([part.sum() for part in chosen.split([len(variance) for variance in variances])])
    kept = torch.cat([part[:, :count] for part, count in zip(components, counts, strict=True)], dim=1)
    covariance = kept.t() @ kept / len(kept)
    centres = layout.centres.repeat_interleave(counts, dim=0)
    for axis in range(3):
        apart = (centres[:, axis, None] - centres[None, :, axis]).abs()
        covariance *= (1 - apart / settings.reach).clamp_min(0)
    axes, spread = _leading(covariance, embedding_size)
    fitted = {
        "bases": torch.cat([basis[:, :count].flatten() for basis, count in zip(bases, counts, strict=True)]).half(),
        "axes": axes.half(),
        "variances": spread.clamp_min(1e-6 * spread[0]),
        "block_sizes": layout.sizes,
        "n_components": counts,
    }
    left = residuals.float() - reconstruct_packed(fitted, embed_packed(fitted, residuals.float()), n_modalities)
    return {**fitted, "noise": component_noise(fitted, left)}


def embed_packed(fitted: dict[str, Tensor], residuals: Tensor) -> Tensor:
    """`(N, M, V)` in the layout's voxels to embeddings `(N, E)`."""
    parts = [
        residuals[:, :, start : start + size].transpose(1, 2).flatten(1) @ basis
        for start, size, basis in _blocks(fitted, residuals.shape[1])
    ]
    return torch.cat(parts, dim=1) @ fitted["axes"].float()


def reconstruct_packed(fitted: dict[str, Tensor], embeddings: Tensor, n_modalities: int) -> Tensor:
    """Embeddings `(N, E)` to `(N, M, V)` in the layout's voxels."""
    components = (embeddings @ fitted["axes"].float().t()).split(fitted["n_components"].tolist(), dim=1)
    parts = [
        (own @ basis.t()).view(len(embeddings), size, n_modalities).transpose(1, 2)
        for own, (_, size, basis) in zip(components, _blocks(fitted, n_modalities), strict=True)
    ]
    return torch.cat(parts, dim=2)


def component_noise(fitted: dict[str, Tensor], left: Tensor) -> Tensor:
    """`(C, M)` mean square, in each component, of what reconstructions leave of each modality.

    Args:
        fitted: bases, sizes and numbers of components of the blocks.
        left: `(N, M, V)` images less their reconstructions.
    """
    n_modalities = left.shape[1]
    parts = [
        torch.einsum("nmv,vmk->nkm", left[:, :, start : start + size], basis.view(size, n_modalities, basis.shape[1]))
        for start, size, basis in _blocks(fitted, n_modalities)
    ]
    noise = torch.cat([part.square().mean(dim=0) for part in parts])
    return noise.clamp_min(1e-6 * float(noise.max()))


def _blocks(fitted: dict[str, Tensor], n_modalities: int) -> list[tuple[int, int, Tensor]]:
    """First voxel, number of voxels and basis of each block."""
    found, voxel, value = [], 0, 0
    for size, count in zip(fitted["block_sizes"].tolist(), fitted["n_components"].tolist(), strict=True):
        length = size * n_modalities * count
        found.append((voxel, size, fitted["bases"][value : value + length].float().view(size * n_modalities, count)))
        voxel, value = voxel + size, value + length
    return found


def _principal_axes(samples: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Leading right singular vectors `(length, k)` and variances of `(n, length)`, by randomised subspace iteration."""
    count = min(most, *samples.shape)
    generator = torch.Generator().manual_seed(0)
    axes = torch.randn(samples.shape[1], min(count + 8, samples.shape[1]), generator=generator)
    for _ in range(2):
        axes = torch.linalg.qr(samples.t() @ (samples @ axes)).Q
    products = samples @ axes
    variances, turn = torch.linalg.eigh(products.t() @ products / len(samples))
    return axes @ turn.flip(1)[:, :count], variances.flip(0)[:count].clamp_min(0)


def _leading(covariance: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Leading eigenvectors `(C, count)` and eigenvalues, zeros where there are fewer; signs by the largest entry."""
    size = len(covariance)
    width = min(size, count + count // 8)
    if 2 * width >= size and size < 2000:
        values, vectors = torch.linalg.eigh(covariance)
    else:
        # components of one block are uncorrelated already, so the largest ones are a good start
        largest = covariance.diagonal().argsort(descending=True, stable=True)[:width]
        vectors = torch.linalg.qr(covariance @ (covariance @ covariance[:, largest])).Q
        values, turn = torch.linalg.eigh(vectors.t() @ covariance @ vectors)
        vectors = vectors @ turn
    vectors, values = vectors.flip(1)[:, :count], values.flip(0)[:count]
    signs = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True)).sign()
    missing = count - vectors.shape[1]
    vectors = torch.nn.functional.pad(vectors * signs, (0, missing))
    return vectors, torch.nn.functional.pad(values.clamp_min(0), (0, missing))


def _shifted(numbers: Tensor, shift: tuple[int, int, int], fill: int) -> Tensor:
    """Shift a volume by whole voxels; what comes in from outside is `fill`."""
    for axis, by in enumerate(shift):
        numbers = numbers.roll(by, dims=axis)
        if by:
            empty = slice(0, by) if by > 0 else slice(by, None)
            numbers = numbers.transpose(0, axis).clone()
            numbers[empty] = fill
            numbers = numbers.transpose(0, axis)
    return numbers
