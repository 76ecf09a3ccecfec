"""Which maps a network can do without."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import torch

from bundle.data.datalist import Item, present_modalities
from custom_nets import FusionAutoencoder
from custom_nets.fusion import AnySubsetFusion, subset_members


def known_subsets(network: FusionAutoencoder) -> list[tuple[str, ...]]:
    """The subsets of modalities that training showed, small ones first; only all of them if the network needs every map."""
    if not isinstance(network.fusion, AnySubsetFusion):
        return [network.modalities]
    numbers = torch.nonzero(network.fusion.seen)[:, 0].tolist()
    return sorted((subset_members(number, network.modalities) for number in numbers), key=len)


def never_shown(network: FusionAutoencoder) -> str:
    """A line that names the subsets which training never held; nothing if it held all."""
    seen = set(known_subsets(network))
    every = [part for size in range(1, len(network.modalities) + 1) for part in combinations(network.modalities, size)]
    unseen = ["+".join(subset) for subset in every if subset not in seen]
    return f"Never shown in training, so not listed and refused later: {'; '.join(unseen)}.\n" if unseen else ""


def subsets_never_trained(network: FusionAutoencoder, items: Sequence[Item]) -> list[str]:
    """A sentence for each subset of maps that people have and training never showed to the network."""
    if not network.takes_any_subset:
        return []
    seen = known_subsets(network)
    people: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for item in items:
        people[present_modalities(item, network.modalities)].append(item["participant_id"])
    known = "; ".join("+".join(subset) for subset in seen)
    return [
        f"{len(names)} people ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''}) have {'+'.join(subset)} only: this "
        f"network was never trained on that. It knows {known}: train with --modality_dropout 0.25, or for more epochs."
        for subset, names in people.items()
        if subset not in seen
    ]
