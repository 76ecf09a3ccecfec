"""How much of a reconstruction comes through the embedding: R² with the embedding zeroed, averaged or swapped."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from monai.data import CacheDataset
from torch import Tensor
from tqdm.auto import tqdm

from bundle.analysis.reconstruction import r2, swap_partners
from bundle.engines.inferer import AutocastInferer
from bundle.handlers.reconstruction_recorder import masked_residuals
from custom_nets import FusionAutoencoder

CODE_VARIANTS = ("zeroed", "mean", "swapped")


def r2_values_of_changed_codes(
    network: FusionAutoencoder,
    inferer: AutocastInferer,
    held_out: CacheDataset,
    families: Sequence[str],
    images: np.ndarray,
    device: torch.device,
    progress: bool = True,
) -> dict[str, np.ndarray]:
    """R² per modality when the embedding is zeroed, the held-out participants' mean embedding, or another family's participant's.

    Skips, if the network has any, stay the participant's own: what then survives did not come through the embedding.

    Args:
        network: trained, on `device`.
        inferer: precision of forward passes.
        held_out: N participants, each a dictionary with `image` `(M, D, H, W)`.
        families: of them; embeddings are swapped between families, and not at all (NaN) if there is one only.
        images: `(N, M, V)` their residuals.
        device: of the network.
        progress: show a bar.

    Returns:
        `CODE_VARIANTS` -> `(M,)`.
    """

    def encode(scaled: Tensor) -> Tensor:
        return network.encode_scaled(scaled)[0]

    def load(number: int) -> Tensor:
        return network.scaling(torch.as_tensor(held_out[number]["image"])[None].to(device))

    with torch.no_grad():
        codes = [inferer(load(number), encode) for number in range(len(images))]
        changed: dict[str, Callable[[int], Tensor]] = {
            "zeroed": lambda number: torch.zeros_like(codes[number]),
            "mean": lambda number: torch.stack(codes).mean(dim=0),
        }
        if len(set(families)) > 1:
            partners = swap_partners(families)
            changed["swapped"] = lambda number: codes[partners[number]]
        drawn: dict[str, list[np.ndarray]] = {name: [] for name in changed}
        for number in tqdm(range(len(images)), desc="Changing embeddings", unit="participant", disable=not progress):
            scaled = load(number)
            skips = network.encode_scaled(scaled)[1]
            for name, code in changed.items():
                output = inferer(code(number), lambda code_map, skips=skips: network.decode_scaled(code_map, skips))
                drawn[name].append(masked_residuals(network, network.scaling.inverse(output)))
    r2_values = {name: r2(images, np.concatenate(parts)) for name, parts in drawn.items()}
    return {name: r2_values.get(name, np.full(images.shape[1], np.nan)) for name in CODE_VARIANTS}
