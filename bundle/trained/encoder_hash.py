"""Which encoder made an embedding."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from torch import Tensor

from custom_nets import FusionAutoencoder


def encoder_hash(network: FusionAutoencoder) -> str:
    """Twelve hexadecimal digits of everything that an embedding by this network depends on."""
    return encoder_hash_of(network.state_dict())


def encoder_hash_of(weights: Mapping[str, Tensor]) -> str:
    """As `encoder_hash`, of a network's state dictionary.

    The SHA-256 of every weight and buffer outside the decoders; the network's signature is one of them. Embeddings with different hashes live
    in different spaces and must never be pooled.
    """
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        if not name.startswith(("decoders.", "refiner.")):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
