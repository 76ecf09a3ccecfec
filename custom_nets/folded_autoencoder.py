"""Our default network: space folded into channels, smooth fields over the modes of the mean image."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from custom_nets.decoder import UnfoldingDecoder
from custom_nets.encoder import FoldingEncoder
from custom_nets.folding import depth_to_space, space_to_depth
from custom_nets.fusion import AnySubsetFusion, make_fusion, maps_present
from custom_nets.fusion_autoencoder import FusionAutoencoder
from custom_nets.template_basis import BASIS_NAMES, template_basis

STEM_STRIDE = 4
"""By how much the default network folds images before anything else."""


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
