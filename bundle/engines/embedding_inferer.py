"""Reconstruction, embedding and uncertainty from one pass."""

from __future__ import annotations

from typing import Any

from monai.data import MetaTensor
from torch import Tensor

from bundle.data.grids import SAME_GRID_MM, corners_apart_mm
from bundle.data.problems import InputProblems
from bundle.engines.inferer import AutocastInferer


class EmbeddingInferer(AutocastInferer):
    """Gives reconstruction, embedding and uncertainty from one pass, as a tuple.

    Reconstructions are `(B, M, D, H, W)`, of every map, and first, since programs that know nothing of embeddings take the first
    output for `pred` of the metadata. Embeddings are `(B, E)`, their standard deviations too, or `(B, 0)` if the
    network gives none.
    """

    def __call__(self, inputs: Tensor, network: Any, *args: Any, **kwargs: Any) -> Any:
        """Encode and decode a batch `(B, M, D, H, W)`.

        Raises:
            InputProblems: if the images say where they are (MONAI's `MetaTensor`), and that is not the network's space.
        """
        if isinstance(inputs, MetaTensor):
            refuse_other_space(inputs.affine, network)
            inputs = inputs.as_tensor()
        skips: list[list[Tensor]] = []

        def encode(images: Tensor) -> Tensor:
            code_map, own_skips = network.encode_scaled(network.scaling(images))
            skips.extend(own_skips)
            return code_map

        code_map = super().__call__(inputs, encode)
        scaled = super().__call__(code_map, lambda code: network.decode_scaled(code, skips))
        return network.scaling.inverse(scaled), code_map.flatten(1), network.uncertainty(inputs)


def refuse_other_space(affine: Tensor, network: Any) -> None:
    """Refuse images on the network's grid whose `(4, 4)` affine is not that of the training images.

    Raises:
        InputProblems: with both.
    """
    expected = network.grid_affine.cpu()
    off = corners_apart_mm(network.spatial_size, affine.cpu().numpy(), expected.numpy())
    if off > SAME_GRID_MM:
        raise InputProblems(
            "Images",
            [
                f"Not in the template space of the training images: affine {affine[:3].tolist()} puts a corner of the network's grid "
                f"{off:.3g} mm from where {expected[:3].tolist()} puts it: register or resample to that grid."
            ],
        )
