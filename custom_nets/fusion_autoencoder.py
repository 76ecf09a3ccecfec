"""What every autoencoder here has in common: several volumes of a participant into one embedding, and back."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from custom_nets.image_scaling import ImageScaling


class FusionAutoencoder(nn.Module, ABC):
    """What every fusion network here does: scale, encode, fuse, decode, scale back.

    Images go in and come out in their own units; scaling, mean image and brain mask are buffers, hence in the
    checkpoint. A map that a participant does not have is NaN everywhere on the way in; every map comes out. A subclass sets how scaled images become an embedding map and how that becomes scaled images.

    Args:
        modalities: names, in channel order.
        spatial_size: the grid `(D, H, W)`.
        scaling: see `ImageScaling`.
        multiple: each side of the grid must be a multiple of it.
        code_shape: shape of one participant's embedding inside the network.
        architecture: every argument of the subclass that the weights mean nothing without; plain values.

    Attributes:
        scaling: see `ImageScaling`.
        takes_any_subset: False if every map of a participant is needed.
        squashes: True if scaled outputs are in [0, 1], as binary cross-entropy needs.
        signature: JSON of what was built, as bytes, so that a checkpoint says which network it is of.
        grid_affine: `(4, 4)` voxel to world (RAS, mm) of the training images' grid, to refuse images of another space.

    Shapes: `(B, M, D, H, W)` in, the same out; embeddings are `(B, embedding_size)`, `code_shape` flattened.

    Raises:
        ValueError: if the grid is no multiple of `multiple`, or there is no modality or one twice.
    """

    grid_affine: Tensor
    signature: Tensor

    def __init__(
        self,
        modalities: Sequence[str],
        spatial_size: Sequence[int],
        scaling: str,
        multiple: int,
        code_shape: Sequence[int],
        architecture: Mapping[str, Any],
    ) -> None:
        super().__init__()
        if not modalities or len(set(modalities)) != len(modalities):
            raise ValueError(f"Expected one or more different modalities, got {list(modalities)}.")
        if len(spatial_size) != 3 or any(size % multiple for size in spatial_size):
            raise ValueError(
                f"Expected a grid of three sizes divisible by {multiple}, got {list(spatial_size)}: "
                "set spatial_size to the next multiples; images are padded to it and cropped back."
            )
        self.modalities = tuple(modalities)
        self.spatial_size = (int(spatial_size[0]), int(spatial_size[1]), int(spatial_size[2]))
        self.code_shape = tuple(code_shape)
        self.embedding_size = prod(self.code_shape)
        self.takes_any_subset = False
        self.squashes = False
        self.scaling = ImageScaling(scaling, len(self.modalities), self.spatial_size)
        self.register_buffer("grid_affine", torch.eye(4, dtype=torch.float64))
        facts = {"network": type(self).__name__, "modalities": self.modalities, "spatial_size": self.spatial_size}
        text = json.dumps({**facts, **architecture})
        self.register_buffer("signature", torch.tensor(list(text.encode()), dtype=torch.uint8))

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct: `(B, M, D, H, W)` to the same, in the images' units."""
        code_map, skips = self.encode_scaled(self.scaling(images))
        return self.scaling.inverse(self.decode_scaled(code_map, skips))

    @torch.jit.export
    def encode(self, images: Tensor) -> Tensor:
        """Embed: `(B, M, D, H, W)` in the images' units to `(B, embedding_size)`."""
        code_map, _ = self.encode_scaled(self.scaling(images))
        return code_map.flatten(1)

    def decode(self, codes: Tensor) -> Tensor:
        """Draw: `(B, embedding_size)` to `(B, M, D, H, W)` in the images' units.

        Raises:
            ValueError: in a network whose decoder needs the encoder's skips.
        """
        code_map = codes.reshape(-1, *self.code_shape)
        return self.scaling.inverse(self.decode_scaled(code_map, []))

    @abstractmethod
    def encode_scaled(self, scaled: Tensor) -> tuple[Tensor, list[list[Tensor]]]:
        """Scaled images to the embedding map and, if there are any, the skips of each modality; NaN where a map is absent."""

    @abstractmethod
    def decode_scaled(self, code_map: Tensor, skips: list[list[Tensor]]) -> Tensor:
        """The embedding map and skips to scaled images."""

    @torch.jit.unused
    def uncertainty(self, images: Tensor) -> Tensor:
        """`(B, M, D, H, W)` to `(B, embedding_size)` standard deviations of the embedding, or `(B, 0)` if the network has none."""
        return images.new_zeros(len(images), 0)

    @torch.jit.unused
    def fit_to_images(self, images: Callable[[], Iterable[Tensor]], families: Sequence[str] | None = None) -> None:
        """Fit scaling, mean image and brain mask on training images; see `ImageScaling.fit`.

        Args:
            images: returns an iterable over `(M, D, H, W)` images, one per participant.
            families: of the participants, for networks that leave families out in turn.
        """
        self.scaling.fit(images)
