"""The network of the paper, in both of its readings."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from custom_nets.conv_unit import ConvUnit
from custom_nets.decoder import UpsamplingDecoder
from custom_nets.encoder import PoolingEncoder
from custom_nets.fusion_autoencoder import FusionAutoencoder
from custom_nets.presence import modalities_present

PAPER_WIDTHS = (2, 4, 8, 16, 32)


def paper_widths(spatial_size: Sequence[int]) -> tuple[int, ...]:
    """The last of the paper's widths, as many as leave 3 voxels or more along each axis of the embedding.

    Five at 128 x 128 x 96, four at 64 x 64 x 48, three at 32 x 32 x 24: each gives 4 x 4 x 3 x 32 = 1536 values.

    Raises:
        ValueError: if the grid cannot be halved once.
    """
    for n_stages in range(len(PAPER_WIDTHS), 0, -1):
        if all(size % 2**n_stages == 0 and size >= 3 * 2**n_stages for size in spatial_size):
            return PAPER_WIDTHS[-n_stages:]
    raise ValueError(f"Expected even grid sizes of 6 or more, got {tuple(spatial_size)}.")


class PaperFusionAutoencoder(FusionAutoencoder):
    """The network of Dimitri et al. (2022): pooling encoders, one fusion convolution, decoders with or without skips.

    Args:
        modalities: names, in channel order; the paper takes two.
        spatial_size: the grid.
        widths: channels per stage; None: those of the paper that the grid has room for (`paper_widths`).
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
        widths: Sequence[int] | None = None,
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
        widths = paper_widths(spatial_size) if widths is None else widths
        architecture = {
            "scaling": scaling,
            "widths": list(widths),
            "kernel_size": list(kernel_size),
            "separable_mid_flow": separable_mid_flow,
            "separable_units": separable_units,
            "skips": skips,
            "norm": norm,
        }
        stride = 2 ** len(widths)
        code_shape = (widths[-1], *[size // stride for size in spatial_size])
        super().__init__(modalities, spatial_size, scaling, stride, code_shape, architecture)
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
        if not torch.compiler.is_compiling() and not bool(modalities_present(scaled).all()):
            raise ValueError(
                "This network needs every modality of a participant; RefinedLinearAutoencoder takes any of them."
            )
        maps: list[Tensor] = []
        skips: list[list[Tensor]] = []
        for number, encoder in enumerate(self.encoders):
            code_map, own_skips = encoder(scaled[:, number : number + 1])
            maps.append(code_map)
            skips.append(own_skips)
        return self.fusion(torch.cat(maps, dim=1)), skips

    def decode_scaled(self, code_map: Tensor, skips: list[list[Tensor]]) -> Tensor:
        if self.skips == "unet" and len(skips) == 0:
            raise ValueError(
                "This network decodes from its encoder's skips: call it on images, not on embeddings alone."
            )
        outputs: list[Tensor] = []
        for number, decoder in enumerate(self.decoders):
            outputs.append(decoder(code_map, skips[number] if self.skips == "unet" else []))
        scaled = torch.cat(outputs, dim=1)
        return torch.sigmoid(scaled) if self.squashes else scaled
