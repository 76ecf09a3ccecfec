"""Training batches in which people lack maps, so that the network learns to do without."""

from __future__ import annotations

import torch
from torch import Tensor

from bundle.data.problems import InputProblems
from bundle.engines.regional_mixing import PrepareMixedBatch
from custom_nets import FusionAutoencoder
from custom_nets.fusion import maps_present


class PrepareTrainingBatch(PrepareMixedBatch):
    """Blends people, then hides maps: the network sees some and has to draw all that the person has.

    Args:
        network: that is trained.
        mixing: share of batches that are blended, see `PrepareMixedBatch`.
        modality_dropout: share of people from whom maps are hidden; the maps that stay are drawn evenly from all
            smaller subsets. Below 1, so that whole people are seen too; above 0 it needs a network that takes any subset.

    Raises:
        InputProblems: if a share is out of its range, or the network needs every map.

    Source: Neverova et al. (2016), ModDrop, arXiv 1501.00102.
    """

    def __init__(self, network: FusionAutoencoder, mixing: float = 0.5, modality_dropout: float = 0.0) -> None:
        super().__init__(network, mixing)
        if isinstance(modality_dropout, str) or not 0 <= modality_dropout < 1:
            raise InputProblems(
                "Training", [f"--modality_dropout: expected a share of people in [0, 1), got {modality_dropout!r}."]
            )
        if modality_dropout and not network.takes_any_subset:
            raise InputProblems(
                "Training",
                [
                    f"--modality_dropout {modality_dropout}: this network needs every map: add --fusion mean or --fusion "
                    "product_of_experts (the paper's network has neither)."
                ],
            )
        self.modality_dropout = modality_dropout

    def hide(self, images: Tensor) -> Tensor:
        """`(B, M, D, H, W)` to the same, hidden maps NaN."""
        if not self.modality_dropout:
            return images  # and draw no random number: other draws stay what they were
        hidden = torch.zeros(images.shape[:2], dtype=torch.bool)
        for row, present in enumerate(maps_present(images).cpu()):
            members = torch.nonzero(present)[:, 0]
            if len(members) > 1 and torch.rand(()) < self.modality_dropout:
                kept = int(torch.randint(1, 2 ** len(members) - 1, ()))
                bits = torch.tensor([kept >> bit & 1 for bit in range(len(members))], dtype=torch.bool)
                hidden[row, members[~bits]] = True
        if not hidden.any():
            return images
        return images.masked_fill(hidden.to(images.device)[:, :, None, None, None], torch.nan)
