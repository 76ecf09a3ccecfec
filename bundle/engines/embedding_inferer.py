"""Embedding, uncertainty and reconstruction from one pass."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from bundle.engines.inferer import AutocastInferer
from custom_nets.fusion import ProductOfExperts


class EmbeddingInferer(AutocastInferer):
    """Gives embedding, uncertainty and reconstruction from one pass, as a tuple.

    Embeddings are `(B, E)`, their standard deviations too, or `(B, 0)` if the fusion gives none; reconstructions
    `(B, M, D, H, W)`, of every map.
    """

    def __call__(self, inputs: Tensor, network: Any, *args: Any, **kwargs: Any) -> Any:
        """Encode and decode a batch `(B, M, D, H, W)`."""
        skips: list[list[Tensor]] = []

        def encode(images: Tensor) -> Tensor:
            code_map, own_skips = network.encode_scaled(network.scaling(images))
            skips.extend(own_skips)
            return code_map

        code_map = super().__call__(inputs, encode)
        scaled = super().__call__(code_map, lambda code: network.decode_scaled(code, skips))
        gives = isinstance(network.fusion, ProductOfExperts)
        uncertainty = network.fusion.variance.sqrt().flatten(1) if gives else code_map.new_zeros(len(code_map), 0)
        return code_map.flatten(1), uncertainty, network.scaling.inverse(scaled)
