"""The linear part of the default network: principal axes of local anatomy, in closed form."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from custom_nets.folding import depth_to_space, space_to_depth


class LinearEmbedding(nn.Module):
    """Embeds scaled images by two orthonormal matrices, and reconstructs them by their transposes.

        p_b = P_b' x_b     components of all modalities together in block b of the grid
        e   = Q' p         embedding: principal axes of a covariance of components that fades with distance
        x^  = P Q e        reconstruction: the orthogonal projection of x

    Of a participant who lacks modalities, e is the conditional mean of a Gaussian model given y_m = P_m' x_m of the modalities m
    that are there, where P_m are the rows of P that belong to m:

        e ~ N(0, diag(variances)),   y_m = P_m' P_m Q e + noise

    `uncertainty` is its conditional standard deviation.

    Fitted by `fit_linear_embedding`; until then it gives zeros.

    Args:
        n_modalities: M.
        spatial_size: the grid `(D, H, W)`.
        block: voxels along each side of a block.
        embedding_size: E.
        n_components: C, of all blocks together.

    Attributes:
        bases: `(C, block^3 M)` int8, the columns of all P_b, 0 outside the brain; times `scales`.
        scales: `(C,)`.
        block_of: `(C,)` the block of each component, in order; -1 where there are fewer than C.
        axes: `(C, E)` float16, Q.
        variances: `(E,)` of the embedding's values.
        noise: `(C, M)` variance, in each component, of what the reconstruction leaves of each modality.

    Shapes: `(B, M, D, H, W)` scaled images, 0 outside the brain; embeddings `(B, E)`.
    Source: ours. Covariances tapered by distance as in Furrer & Bengtsson (2007), J. Multivar. Anal. 98; conditional mean
    and uncertainty as in probabilistic PCA, Tipping & Bishop (1999), J. R. Stat. Soc. B 61.
    """

    bases: Tensor
    scales: Tensor
    block_of: Tensor
    axes: Tensor
    variances: Tensor
    noise: Tensor
    dense: Tensor
    blocks: Tensor
    slots: Tensor
    turn: Tensor
    _posteriors: dict[tuple[bool, ...], Tensor]
    __jit_ignored_attributes__ = ["_posteriors"]  # subsets are for the eager network alone

    def __init__(
        self,
        n_modalities: int,
        spatial_size: tuple[int, int, int],
        block: int = 8,
        embedding_size: int = 1536,
        n_components: int = 3500,
    ) -> None:
        super().__init__()
        self.n_modalities, self.block, self.embedding_size = n_modalities, block, embedding_size
        self.grid = tuple(size // block for size in spatial_size)
        length = block**3 * n_modalities
        self.register_buffer("bases", torch.zeros(n_components, length, dtype=torch.int8))
        self.register_buffer("scales", torch.zeros(n_components))
        self.register_buffer("block_of", torch.full((n_components,), -1))
        self.register_buffer("axes", torch.zeros(n_components, embedding_size, dtype=torch.float16))
        self.register_buffer("variances", torch.ones(embedding_size))
        self.register_buffer("noise", torch.ones(n_components, n_modalities))
        # what follows is made of the above by `unpack`
        self.register_buffer("dense", torch.zeros(0, length, 0), persistent=False)
        self.register_buffer("blocks", torch.zeros(0, dtype=torch.long), persistent=False)
        self.register_buffer("slots", torch.zeros(0, dtype=torch.long), persistent=False)
        self.register_buffer("turn", torch.zeros(0, embedding_size), persistent=False)
        self._posteriors = {}

    def forward(self, scaled: Tensor) -> Tensor:
        """Embed participants who have every modality."""
        return self.components(scaled) @ self.turn

    def components(self, scaled: Tensor) -> Tensor:
        """`(B, C)` components of all blocks."""
        folded = space_to_depth(scaled, self.block).permute(0, 2, 3, 4, 1).flatten(1, 3)  # (B, blocks, block^3 M)
        products = torch.bmm(folded[:, self.blocks].transpose(0, 1), self.dense)
        return products.transpose(0, 1).flatten(1)[:, self.slots]

    def reconstruct(self, embeddings: Tensor) -> Tensor:
        """`(B, E)` to `(B, M, D, H, W)` scaled images."""
        n = embeddings.shape[0]  # len() would make a constant of it in an exported graph
        components = embeddings @ self.turn.t()
        n_blocks, length, most = self.dense.shape
        padded = embeddings.new_zeros(n, n_blocks * most)
        padded = padded.index_copy(1, self.slots, components).unflatten(1, (n_blocks, most))
        voxels = torch.bmm(padded.transpose(0, 1), self.dense.transpose(1, 2)).transpose(0, 1)
        depth, height, width = self.grid
        folded = embeddings.new_zeros(n, depth * height * width, length)
        folded = folded.index_copy(1, self.blocks, voxels).unflatten(1, (depth, height, width))
        return depth_to_space(folded.permute(0, 4, 1, 2, 3), self.block)

    @torch.jit.unused
    def embed_subset(self, scaled: Tensor, present: Tensor) -> Tensor:
        """Embed participants who lack modalities: the conditional mean given those that are there.

        Args:
            scaled: `(B, M, D, H, W)`, 0 where a modality is absent.
            present: `(B, M)` bool.
        """
        embeddings = scaled.new_zeros(len(scaled), self.embedding_size)
        for subset in torch.unique(present, dim=0):
            rows = (present == subset).all(dim=1)
            if bool(subset.all()):
                embeddings[rows] = self(scaled[rows])
                continue
            voxels = space_to_depth(scaled[rows], self.block).permute(0, 2, 3, 4, 1).flatten(1, 3)[:, self.blocks]
            evidence = torch.stack(
                [
                    torch.bmm(torch.bmm(voxels.transpose(0, 1), self._of_modality(m)) * precision[:, None], gram)
                    for m, gram, precision in self._measurements(subset)
                ]
            ).sum(dim=0)
            information = evidence.transpose(0, 1).flatten(1)[:, self.slots] @ self.turn
            embeddings[rows] = information @ self.posterior(subset)
        return embeddings

    @torch.jit.unused
    def posterior(self, subset: Tensor) -> Tensor:
        """`(E, E)` covariance of the embedding given a subset of modalities `(M,)` bool; made once per subset."""
        key = tuple(bool(one) for one in subset)
        if key not in self._posteriors:
            per_block = torch.stack(
                [torch.bmm(gram * precision[:, None], gram) for _, gram, precision in self._measurements(subset)]
            ).sum(dim=0)
            n_blocks, _, most = self.dense.shape
            axes = self.turn.new_zeros(n_blocks * most, self.embedding_size)
            axes = axes.index_copy(0, self.slots, self.turn).unflatten(0, (n_blocks, most))
            information = axes.flatten(0, 1).t() @ torch.bmm(per_block, axes).flatten(0, 1)
            information.diagonal().add_(1 / self.variances)
            self._posteriors[key] = torch.cholesky_inverse(torch.linalg.cholesky(information))
        return self._posteriors[key]

    @torch.jit.unused
    def uncertainty(self, present: Tensor) -> Tensor:
        """`(B, M)` bool to `(B, E)`: how far the embedding's values are expected to move when absent modalities are added.

        The conditional standard deviation given the modalities that are there; 0 where nothing is absent.
        """
        complete = self.variances.new_zeros(self.embedding_size)
        return torch.stack([complete if bool(row.all()) else self.posterior(row).diagonal().sqrt() for row in present])

    def _of_modality(self, number: int) -> Tensor:
        """`(blocks with brain, block^3 M, most)` the bases, 0 in the rows of other modalities."""
        rows = torch.arange(self.dense.shape[1], device=self.dense.device) % self.n_modalities == number
        return self.dense * rows[:, None]

    def _measurements(self, subset: Tensor) -> list[tuple[int, Tensor, Tensor]]:
        """Of each modality that is there: its number, P_m' P_m `(blocks, most, most)` and 1 / noise `(blocks, most)`."""
        n_blocks, _, most = self.dense.shape
        found = []
        for number in torch.nonzero(subset)[:, 0].tolist():
            own = self._of_modality(number)
            precision = self.noise.new_zeros(n_blocks * most).index_copy(
                0, self.slots, 1 / self.noise[: len(self.slots), number]
            )
            found.append((number, torch.bmm(own.transpose(1, 2), own), precision.view(n_blocks, most)))
        return found

    @torch.no_grad()
    def store(self, fitted: Mapping[str, Tensor], brain_mask: Tensor) -> None:
        """Take what `fit_linear_embedding` found in the brain mask `(D, H, W)`."""
        inside = space_to_depth(brain_mask[None, None].cpu(), self.block)[0].flatten(1).t() > 0  # (blocks, block^3)
        rows, start = [], 0
        for number, count in enumerate(fitted["n_components"].tolist()):
            voxels = torch.nonzero(inside[number])[:, 0]
            length = len(voxels) * self.n_modalities * count
            own = torch.zeros(count, self.block**3, self.n_modalities)
            basis = fitted["bases"][start : start + length].float().view(len(voxels), self.n_modalities, count)
            own[:, voxels] = basis.permute(2, 0, 1)
            rows.append(own.flatten(1))
            start += length
        bases = torch.cat(rows)
        scales = (bases.abs().amax(dim=1) / 127).clamp_min(1e-20)
        found = {
            "bases": (bases / scales[:, None]).round(),
            "scales": scales,
            "block_of": torch.repeat_interleave(fitted["n_components"]),
            "axes": fitted["axes"],
            "noise": fitted["noise"],
        }
        for name, values in found.items():
            buffer = getattr(self, name)
            buffer.fill_(-1 if name == "block_of" else 0)
            buffer[: len(values)] = values.to(buffer)
        self.variances.copy_(fitted["variances"])
        self.unpack()

    @torch.no_grad()
    def unpack(self) -> None:
        """Lay the bases out as one matrix per block with brain, as matrix products need them."""
        self._posteriors = {}
        used = self.block_of[self.block_of >= 0].cpu()
        blocks, row, counts = torch.unique_consecutive(used, return_inverse=True, return_counts=True)
        most = int(counts.max()) if len(counts) else 0
        rank = torch.arange(len(used)) - (counts.cumsum(0) - counts)[row] if len(used) else used
        dense = self.scales.new_zeros(len(blocks), most, self.bases.shape[1])
        place = (row.to(dense.device), rank.to(dense.device))
        dense[place] = self.bases[: len(used)].to(dense) * self.scales[: len(used), None]
        self.dense = dense.transpose(1, 2).contiguous()
        self.blocks = blocks.to(dense.device)
        self.slots = (row * most + rank).to(dense.device)
        self.turn = self.axes[: len(used)].float()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "LinearEmbedding":
        """What was worked out on one device or in one precision is worked out again on the next."""
        self._posteriors = {}
        super()._apply(fn, recurse)
        return self
