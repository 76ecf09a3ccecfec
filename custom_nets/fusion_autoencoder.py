"""Autoencoders that fuse several volumes of a person into one code of 1536 values."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from custom_nets.conv_unit import ConvUnit
from custom_nets.decoder import UnfoldingDecoder, UpsamplingDecoder
from custom_nets.encoder import FoldingEncoder, PoolingEncoder
from custom_nets.folding import depth_to_space, space_to_depth
from custom_nets.fusion import AnySubsetFusion, make_fusion, maps_present
from custom_nets.image_scaling import ImageScaling
from custom_nets.template_basis import BASIS_NAMES, template_basis

STEM_STRIDE = 4
"""By how much the default network folds images before anything else."""


class FusionAutoencoder(nn.Module, ABC):
    """What every fusion network here does: scale, encode, fuse, decode, scale back.

    Images go in and come out in their own units; scaling, mean image and brain mask are buffers, hence in the
    checkpoint. A map that a person does not have is NaN everywhere on the way in; every map comes out. A subclass sets how scaled images become a code map and how that becomes scaled images.

    Args:
        modalities: names, in channel order.
        spatial_size: the grid `(D, H, W)`.
        scaling: see `ImageScaling`.
        total_stride: by how much the encoder shrinks the grid.
        code_channels: channels of the code map.
        architecture: every other argument that the weights mean nothing without; plain values.

    Attributes:
        scaling: see `ImageScaling`.
        takes_any_subset: False if every map of a person is needed.
        squashes: True if scaled outputs are in [0, 1], as binary cross-entropy needs.
        signature: JSON of what was built, as bytes, so that a checkpoint says which network it is of.
        grid_affine: `(4, 4)` voxel to world (RAS, mm) of the training images' grid, to refuse images of another space.

    Shapes: `(B, M, D, H, W)` in, the same out; codes are `(B, embedding_size)`, the code map
    `(code_channels, D/stride, H/stride, W/stride)` flattened in that order.

    Raises:
        ValueError: if the grid is not divisible by the stride, or there is no modality or one twice.
    """

    grid_affine: Tensor
    signature: Tensor

    def __init__(
        self,
        modalities: Sequence[str],
        spatial_size: Sequence[int],
        scaling: str,
        total_stride: int,
        code_channels: int,
        architecture: Mapping[str, Any],
    ) -> None:
        super().__init__()
        if not modalities or len(set(modalities)) != len(modalities):
            raise ValueError(f"Expected one or more different modalities, got {list(modalities)}.")
        if len(spatial_size) != 3 or any(size % total_stride for size in spatial_size):
            raise ValueError(
                f"Expected a grid of three sizes divisible by {total_stride}, got {list(spatial_size)}: "
                "set spatial_size to the next multiples; images are padded to it and cropped back."
            )
        self.modalities = tuple(modalities)
        self.spatial_size = (int(spatial_size[0]), int(spatial_size[1]), int(spatial_size[2]))
        self.code_shape = (code_channels, *[size // total_stride for size in self.spatial_size])
        self.embedding_size = prod(self.code_shape)
        self.takes_any_subset = False
        self.squashes = False
        self.scaling = ImageScaling(scaling, len(self.modalities), self.spatial_size)
        self.register_buffer("grid_affine", torch.eye(4, dtype=torch.float64))
        facts = {"network": type(self).__name__, "modalities": self.modalities, "spatial_size": self.spatial_size}
        text = json.dumps({**facts, "scaling": scaling, **architecture})
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
        """Scaled images to the code map and, if there are any, the skips of each modality; NaN where a map is absent."""

    @abstractmethod
    def decode_scaled(self, code_map: Tensor, skips: list[list[Tensor]]) -> Tensor:
        """The code map and skips to scaled images."""

    def fit_to_images(self, images: Callable[[], Iterable[Tensor]]) -> None:
        """Fit scaling, mean image and brain mask on training images; see `ImageScaling.fit`."""
        self.scaling.fit(images)


class PaperFusionAutoencoder(FusionAutoencoder):
    """The network of Dimitri et al. (2022): pooling encoders, one fusion convolution, decoders with or without skips.

    Args:
        modalities: names, in channel order; the paper takes two.
        spatial_size: the grid; 128 x 128 x 96 with five widths, 64 x 64 x 48 with four give 1536 values.
        widths: channels per stage.
        kernel_size: of every unit.
        separable_mid_flow: the paper's text (True) or the released code (False).
        separable_units: make every other 5x6x5 unit separable too (not the fusion).
        skips: `unet` (released code: the decoder also sees the encoder) or `none` (strict bottleneck).
        norm: `batch` (paper), `group` or `instance`.
        dropout: rate of dropped values.
        scaling: `min_max` (paper) squashes the output to [0, 1] by a sigmoid; `residual` does not, and starts at the
            mean image.

    Source: section 2 of the released code's reading; see docs/method.md.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        spatial_size: Sequence[int] = (128, 128, 96),
        widths: Sequence[int] = (2, 4, 8, 16, 32),
        kernel_size: Sequence[int] = (5, 6, 5),
        separable_mid_flow: bool = True,
        separable_units: bool = False,
        skips: str = "unet",
        norm: str = "batch",
        dropout: float = 0.1,
        scaling: str = "min_max",
    ) -> None:
        if skips not in ("none", "unet"):
            raise ValueError(f"Expected skips to be 'none' or 'unet', got {skips!r}.")
        architecture = {
            "widths": list(widths),
            "kernel_size": list(kernel_size),
            "separable_mid_flow": separable_mid_flow,
            "separable_units": separable_units,
            "skips": skips,
            "norm": norm,
        }
        super().__init__(modalities, spatial_size, scaling, 2 ** len(widths), widths[-1], architecture)
        self.skips = skips
        self.squashes = scaling == "min_max"
        shared: dict[str, Any] = dict(
            kernel_size=kernel_size,
            separable_mid_flow=separable_mid_flow,
            separable_units=separable_units,
            norm=norm,
            dropout=dropout,
        )
        n_modalities = len(self.modalities)
        self.encoders = nn.ModuleList(PoolingEncoder(widths, **shared) for _ in range(n_modalities))
        self.fusion = ConvUnit(n_modalities * widths[-1], widths[-1], self.code_shape[1:], False, norm, dropout)
        self.decoders = nn.ModuleList(
            UpsamplingDecoder(widths[-1], widths, with_skips=skips == "unet", **shared) for _ in range(n_modalities)
        )
        if scaling == "residual":
            for decoder in self.decoders:
                for parameter in decoder.head.parameters():
                    nn.init.zeros_(parameter)

    def encode_scaled(self, scaled: Tensor) -> tuple[Tensor, list[list[Tensor]]]:
        if not torch.compiler.is_compiling() and not bool(maps_present(scaled).all()):
            raise ValueError("This network needs every map of a person; FoldedFusionAutoencoder can do with fewer.")
        maps: list[Tensor] = []
        skips: list[list[Tensor]] = []
        for number, encoder in enumerate(self.encoders):
            code_map, own_skips = encoder(scaled[:, number : number + 1])
            maps.append(code_map)
            skips.append(own_skips)
        return self.fusion(torch.cat(maps, dim=1)), skips

    def decode_scaled(self, code_map: Tensor, skips: list[list[Tensor]]) -> Tensor:
        if self.skips == "unet" and len(skips) == 0:
            raise ValueError("This network decodes from its encoder's skips: call it on images, not on codes alone.")
        outputs: list[Tensor] = []
        for number, decoder in enumerate(self.decoders):
            outputs.append(decoder(code_map, skips[number] if self.skips == "unet" else []))
        scaled = torch.cat(outputs, dim=1)
        return torch.sigmoid(scaled) if self.squashes else scaled


class FoldedFusionAutoencoder(FusionAutoencoder):
    """Our default: a strict bottleneck that trains in minutes on a CPU and decodes from the code alone.

    Scaled images are multiplied with the modes of `template_basis`, folded by 4 into channels, encoded per modality by
    a `FoldingEncoder`, and fused by one 3x3x3 convolution to the code map. Each modality's `UnfoldingDecoder` draws
    smooth coefficient fields from the code map; the image is their sum over the same modes, plus the mean image. Heads
    start at zero, so an untrained network returns the mean image exactly.

    Args:
        modalities: names, in channel order.
        spatial_size: the grid; 64 x 64 x 48 with three widths and 128 x 128 x 96 with four give 1536 values.
        widths: channels per level; the first is at a quarter of the resolution.
        n_units: residual separable units per level.
        norm: `group` (default: one group, so that a batch of one is like a batch of n), `batch` or `instance`.
        code_channels: channels of the code map.
        scaling: see `ImageScaling`; only `residual` starts at the mean image.
        fusion: `concat` (needs every map), `mean` or `product_of_experts` (take any of them); see `make_fusion`.
        kernel_size: of the depthwise filters.

    Source: fusion and code map of Dimitri et al. (2022); the rest is ours, see docs/method.md.
    """

    modes: Tensor

    def __init__(
        self,
        modalities: Sequence[str],
        spatial_size: Sequence[int] = (64, 64, 48),
        widths: Sequence[int] = (64, 96, 128),
        n_units: Sequence[int] = (1, 1, 1),
        norm: str = "group",
        code_channels: int = 32,
        scaling: str = "residual",
        fusion: str = "concat",
        kernel_size: Sequence[int] = (3, 3, 3),
    ) -> None:
        architecture: dict[str, Any] = {"widths": list(widths), "n_units": list(n_units), "norm": norm}
        architecture |= {"code_channels": code_channels, "fusion": fusion, "kernel_size": list(kernel_size)}
        total_stride = STEM_STRIDE * 2 ** (len(widths) - 1)
        super().__init__(modalities, spatial_size, scaling, total_stride, code_channels, architecture)
        self.stem_stride = STEM_STRIDE
        n_modalities, cell = len(self.modalities), STEM_STRIDE**3
        cells = [size // STEM_STRIDE for size in self.spatial_size]
        n_modes = len(BASIS_NAMES)
        self.register_buffer("modes", torch.zeros(n_modalities, *cells, n_modes, cell), persistent=False)
        self._refresh_modes()
        self.register_load_state_dict_post_hook(lambda module, _: module._refresh_modes())
        self.encoders = nn.ModuleList(
            FoldingEncoder(n_modes * cell, widths, n_units, norm, kernel_size) for _ in range(n_modalities)
        )
        self.fusion = make_fusion(fusion, n_modalities, widths[-1], code_channels)
        self.takes_any_subset = isinstance(self.fusion, AnySubsetFusion)
        self.decoders = nn.ModuleList(
            UnfoldingDecoder(code_channels, n_modes * cell, widths, n_units, norm, kernel_size)
            for _ in range(n_modalities)
        )

    def encode_scaled(self, scaled: Tensor) -> tuple[Tensor, list[list[Tensor]]]:
        modes = self.modes if torch.jit.is_scripting() else self._modes_under_autocast()
        present = maps_present(scaled)
        scaled = scaled.masked_fill(~present[:, :, None, None, None], 0.0)
        maps: list[Tensor] = []
        for number, encoder in enumerate(self.encoders):
            cells = space_to_depth(scaled[:, number : number + 1], self.stem_stride).permute(0, 2, 3, 4, 1)
            products = (cells.to(modes.dtype).unsqueeze(-2) * modes[number]).flatten(-2)
            maps.append(encoder(products.permute(0, 4, 1, 2, 3)))
        return self.fusion(maps, present), []

    def decode_scaled(self, code_map: Tensor, skips: list[list[Tensor]]) -> Tensor:
        modes = self.modes if torch.jit.is_scripting() else self._modes_under_autocast()
        outputs: list[Tensor] = []
        for number, decoder in enumerate(self.decoders):
            fields = decoder(code_map).permute(0, 2, 3, 4, 1)
            cells = (fields.unflatten(-1, (modes.shape[-2], modes.shape[-1])) * modes[number]).sum(dim=-2)
            outputs.append(depth_to_space(cells.permute(0, 4, 1, 2, 3), self.stem_stride))
        return torch.cat(outputs, dim=1)

    @torch.jit.unused
    def _modes_under_autocast(self) -> Tensor:
        """The modes in the precision that autocast computes in; products of float32 would double the traffic."""
        device = self.modes.device.type
        return self.modes.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else self.modes

    def fit_to_images(self, images: Callable[[], Iterable[Tensor]]) -> None:
        super().fit_to_images(images)
        self._refresh_modes()

    def _refresh_modes(self) -> None:
        """The modes follow from the mean image, so they are not stored. `(M, D, H, W, mode, voxel of the cell)`."""
        modes = template_basis(self.scaling.mean_image, self.scaling.brain_mask)
        cells = [space_to_depth(mode[:, None], self.stem_stride) for mode in modes]  # each (5, 64, D, H, W)
        self.modes.copy_(torch.stack([part.permute(2, 3, 4, 0, 1) for part in cells]))
