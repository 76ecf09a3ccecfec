"""Our default network: the best linear embedding of its size in closed form, and convolutions that add to it."""

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from math import lcm
from typing import Optional

import torch
from torch import Tensor, nn

from custom_nets.fusion_autoencoder import FusionAutoencoder
from custom_nets.linear_embedding import LinearEmbedding
from custom_nets.linear_fit import (
    BlockLayout,
    LinearFitSettings,
    component_noise,
    embed_packed,
    fit_linear_embedding,
    mirror_plane,
    reconstruct_packed,
)
from custom_nets.presence import modalities_present
from custom_nets.refiner import Refiner


class RefinedLinearAutoencoder(FusionAutoencoder):
    """A strict bottleneck that starts where the best linear embedding of its size ends.

    `fit_to_images` fits a `LinearEmbedding` on the training participants before the first step. Scaled images are embedded by it, with
    any of the modalities missing, and reconstructed; a `Refiner` of separable convolutions then adds what it has learnt that linear
    reconstructions leave. It starts at zero, so that an untrained network is the linear embedding.

    A linear embedding fits the participants that it was fitted on better than others, so a refiner trained on its reconstructions would
    learn the wrong corrections. In training, participants are therefore embedded by one of `n_cross_fits` embeddings that were
    fitted without their family.

    Args:
        modalities: names, in channel order.
        spatial_size: the grid.
        embedding_size: E.
        block: voxels along each side of a block of the linear embedding; 24 mm is right.
        n_components: of all blocks together; see `LinearFitSettings`, as for `reach`.
        reach: blocks at which covariances have faded to 0; 72 mm is right.
        fold: see `Refiner`, as for `width`, `n_units`, `n_places` and `kernel_size`.
        width: channels of the refiner.
        n_units: its residual separable units.
        n_places: its maps of places.
        norm: `group` (default: one group, so that a batch of one is like a batch of n), `batch` or `instance`.
        kernel_size: of its depthwise filters.
        n_cross_fits: linear embeddings that training participants are embedded by; below 2, the network's own is used.

    Attributes:
        linear: see `LinearEmbedding`.
        mirror: voxel i along the first axis mirrors voxel `mirror - i`; -1 if the mean image has no plane of symmetry.

    Source: the embedding of Dimitri et al. (2022) and their separable convolutions; the rest is ours, see docs/method.md.
    """

    mirror: Tensor
    cross_fitted: list[LinearEmbedding]
    __jit_ignored_attributes__ = ["cross_fitted"]  # they are for training alone

    def __init__(
        self,
        modalities: Sequence[str],
        spatial_size: Sequence[int] = (64, 64, 48),
        embedding_size: int = 1536,
        block: int = 8,
        n_components: int = 3500,
        reach: float = 3.0,
        fold: int = 2,
        width: int = 32,
        n_units: int = 3,
        n_places: int = 4,
        norm: str = "group",
        kernel_size: Sequence[int] = (3, 3, 3),
        n_cross_fits: int = 3,
    ) -> None:
        architecture = {
            "embedding_size": embedding_size,
            "block": block,
            "n_components": n_components,
            "fold": fold,
            "width": width,
            "n_units": n_units,
            "n_places": n_places,
            "norm": norm,
            "kernel_size": list(kernel_size),
        }
        super().__init__(modalities, spatial_size, "residual", lcm(block, fold), (embedding_size,), architecture)
        n_modalities = len(self.modalities)
        self.takes_any_subset = True
        self.n_cross_fits = n_cross_fits
        self.fit_settings = asdict(LinearFitSettings(n_components=n_components, reach=reach))
        self.linear = LinearEmbedding(n_modalities, self.spatial_size, block, embedding_size, n_components)
        self.refiner = Refiner(n_modalities, self.spatial_size, fold, width, n_units, n_places, norm, kernel_size)
        self.register_buffer("mirror", torch.tensor(-1))
        self.cross_fitted = []
        self.register_load_state_dict_post_hook(_unpack)

    def encode_scaled(self, scaled: Tensor) -> tuple[Tensor, list[list[Tensor]]]:
        no_skips: list[list[Tensor]] = []
        if torch.jit.is_scripting() or torch.compiler.is_compiling():
            return self.linear(scaled), no_skips
        return self._embed(self.linear, scaled), no_skips

    def decode_scaled(self, code_map: Tensor, skips: list[list[Tensor]]) -> Tensor:
        if torch.jit.is_scripting() or torch.compiler.is_compiling():
            linear = self.linear.reconstruct(code_map)
        else:
            linear = self._reconstruct(self.linear, code_map)
        return linear + self.refiner(linear)

    @torch.jit.unused
    def uncertainty(self, images: Tensor) -> Tensor:
        return self.linear.uncertainty(modalities_present(images))

    def forward(self, images: Tensor, folds: Optional[Tensor] = None) -> Tensor:  # noqa: UP045 (TorchScript reads it)
        """Reconstruct: `(B, M, D, H, W)` to the same, in the images' units.

        Args:
            images: absent modalities are NaN.
            folds: `(B,)` of each participant in training, see `fold_of_family`: each is embedded by the linear embedding that was fitted
                without their family.
        """
        if not torch.jit.is_scripting():  # noqa: SIM102 (in one condition, TorchScript would compile the branch)
            if folds is not None and len(self.cross_fitted) > 0:
                linear = self._left_out(self.scaling(images), folds)
                return self.scaling.inverse(linear + self.refiner(linear))
        code_map, skips = self.encode_scaled(self.scaling(images))
        return self.scaling.inverse(self.decode_scaled(code_map, skips))

    @torch.jit.unused
    def _left_out(self, scaled: Tensor, folds: Tensor) -> Tensor:
        linear = torch.zeros_like(scaled)
        for number, embedding in enumerate(self.cross_fitted):
            rows = torch.nonzero(folds == number)[:, 0]
            if len(rows):
                linear[rows] = self._reconstruct(embedding, self._embed(embedding, scaled[rows]))
        return linear

    @torch.jit.unused
    @torch.no_grad()
    def _embed(self, embedding: LinearEmbedding, scaled: Tensor) -> Tensor:
        """In float32: the bases are fitted, so there is nothing to gain from fewer digits."""
        present = modalities_present(scaled)
        with torch.autocast(scaled.device.type, enabled=False):
            scaled = scaled.float()
            if bool(present.all()):
                return embedding(scaled)
            return embedding.embed_subset(scaled.masked_fill(~present[:, :, None, None, None], 0.0), present)

    @torch.jit.unused
    @torch.no_grad()
    def _reconstruct(self, embedding: LinearEmbedding, embeddings: Tensor) -> Tensor:
        with torch.autocast(embeddings.device.type, enabled=False):
            return embedding.reconstruct(embeddings.float())

    @torch.jit.unused
    @torch.no_grad()
    def fit_to_images(self, images: Callable[[], Iterable[Tensor]], families: Sequence[str] | None = None) -> None:
        super().fit_to_images(images, families)
        settings = LinearFitSettings(**self.fit_settings)
        self.mirror.fill_(mirror_plane(self.scaling.mean_image.cpu()))
        layout = BlockLayout(self.scaling.brain_mask, self.linear.block, int(self.mirror))
        residuals, folds = self._complete_residuals(images, families, layout, settings.most_participants)
        fitted = fit_linear_embedding(residuals, layout, self.embedding_size, settings)
        self.cross_fitted = []
        if self.n_cross_fits > 1 and all(bool((folds != k).sum() > 1) for k in range(self.n_cross_fits)):
            left = residuals.clone()
            for number in range(self.n_cross_fits):
                without = fit_linear_embedding(residuals[folds != number], layout, self.embedding_size, settings)
                own = residuals[folds == number].float()
                left[folds == number] -= reconstruct_packed(without, embed_packed(without, own), own.shape[1]).half()
                embedding = LinearEmbedding(
                    own.shape[1],
                    self.spatial_size,
                    self.linear.block,
                    self.embedding_size,
                    settings.n_components,
                )
                embedding.store(without, self.scaling.brain_mask)
                self.cross_fitted.append(embedding)
            fitted["noise"] = component_noise(fitted, left.float())  # of participants who were left out of the fit
        self.linear.store(fitted, self.scaling.brain_mask)
        self.refiner.fit_box(self.scaling.brain_mask)

    def _complete_residuals(
        self, images: Callable[[], Iterable[Tensor]], families: Sequence[str] | None, layout: BlockLayout, most: int
    ) -> tuple[Tensor, Tensor]:
        """`(N, M, V)` float16 scaled images of participants who have every modality, and the fold of each `(N,)`.

        Of more than `most` participants, those whose names sort first by a hash: the same ones in every run.
        """
        kept: list[tuple[int, int, Tensor]] = []
        for number, image in enumerate(images()):
            family = str(number) if families is None else families[number]
            rank = zlib.crc32(f"{family} {number}".encode())
            if not bool(modalities_present(image[None]).all()):
                continue
            if len(kept) >= most and rank >= kept[-1][0]:
                continue
            scaled = self.scaling(image.to(self.scaling.base.device)[None])[0]
            voxels = scaled.flatten(1)[:, layout.voxels.to(scaled.device)].half().cpu()
            kept.append((rank, fold_of_family(family, max(self.n_cross_fits, 1)), voxels))
            kept = sorted(kept, key=lambda entry: entry[0])[:most]
        if len(kept) < 2:
            raise ValueError(
                f"Expected at least two training participants who have all of {', '.join(self.modalities)} to fit the linear "
                f"embedding on, got {len(kept)}: add participants, or leave a modality out."
            )
        return torch.stack([voxels for _, _, voxels in kept]), torch.tensor([fold for _, fold, _ in kept])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "RefinedLinearAutoencoder":
        """Cross-fitted embeddings move with the network, though they are no part of its weights."""
        super()._apply(fn, recurse)
        for embedding in self.cross_fitted:
            embedding._apply(fn)
        return self


def _unpack(network: nn.Module, _: object) -> None:
    """What is worked out from buffers, after they were loaded."""
    assert isinstance(network, RefinedLinearAutoencoder)
    network.linear.unpack()
    network.refiner.fit_box(network.scaling.brain_mask)


def fold_of_family(family: str, n_folds: int) -> int:
    """Which cross-fit leaves a family out: the same one in every run and process."""
    return zlib.crc32(family.encode()) % n_folds
