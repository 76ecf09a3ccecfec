"""Which modalities a network can do without."""

from __future__ import annotations

from collections.abc import Sequence

from bundle.data.datalist import Item, present_modalities
from bundle.data.problems import InputProblems
from custom_nets import FusionAutoencoder
from custom_nets.presence import every_subset


def subsets_taken(network: FusionAutoencoder) -> list[tuple[str, ...]]:
    """The subsets of modalities that a network embeds, small ones first; all of them together come last."""
    if not network.takes_any_subset:
        return [network.modalities]
    return [
        tuple(modality for modality, there in zip(network.modalities, row, strict=True) if there)
        for row in every_subset(len(network.modalities)).tolist()
    ]


def refuse_incomplete(network: FusionAutoencoder, items: Sequence[Item]) -> None:
    """Refuse participants who lack modalities, if the network needs all of them.

    Raises:
        InputProblems: naming each and what is missing.
    """
    if network.takes_any_subset:
        return
    problems = [
        f"{item['participant_id']}: no {', '.join(m for m in network.modalities if m not in item)}, and {type(network).__name__} "
        "needs every modality: add the file, leave the participant out, or use the default network, which takes any of them."
        for item in items
        if len(present_modalities(item, network.modalities)) < len(network.modalities)
    ]
    if problems:
        raise InputProblems("Modalities", problems)
