"""What a training batch is to the engine: mirrored now and then, and with modalities hidden."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import PrepareBatch
from torch import Tensor

from bundle.data.problems import InputProblems
from custom_nets import FusionAutoencoder, RefinedLinearAutoencoder
from custom_nets.presence import modalities_present
from custom_nets.refined_linear_autoencoder import fold_of_family


class PrepareTrainingBatch(PrepareBatch):
    """Mirrors a share of the batches and hides modalities: the network sees some and has to reconstruct all that a participant has.

    Args:
        network: that is trained.
        mirroring: share of batches that are mirrored left to right, if the network found a plane of symmetry.
        modality_dropout: share of participants from whom modalities are hidden, if the network takes any subset; those that
            stay are chosen evenly from all smaller subsets. Below 1, so that complete participants are seen too.

    Raises:
        InputProblems: if a share is out of its range.

    Source: hiding as in Neverova et al. (2016), ModDrop, arXiv 1501.00102.
    """

    def __init__(self, network: FusionAutoencoder, mirroring: float = 0.5, modality_dropout: float = 0.0) -> None:
        problems = [
            f"--{name}: expected a share in [0, {limit}, got {share!r}."
            for name, share, limit, is_right in (
                ("mirroring", mirroring, "1]", not isinstance(mirroring, str) and 0 <= mirroring <= 1),
                ("modality_dropout", modality_dropout, "1)", not isinstance(modality_dropout, str) and 0 <= modality_dropout < 1),
            )
            if not is_right
        ]  # fmt: skip
        if problems:
            raise InputProblems("Training", problems)
        self.network, self.mirroring = network, mirroring
        self.modality_dropout = modality_dropout if network.takes_any_subset else 0.0

    def __call__(
        self,
        batchdata: dict[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor, tuple, dict[str, Any]]:
        images = torch.as_tensor(batchdata["image"]).to(device=device, non_blocking=non_blocking)
        images = self.mirror(images)
        network = self.network
        if not isinstance(network, RefinedLinearAutoencoder) or network.n_cross_fits < 2:
            return self.hide(images), images, (), {}
        folds = [fold_of_family(str(family), network.n_cross_fits) for family in batchdata["family_id"]]
        return self.hide(images), images, (), {"folds": torch.tensor(folds)}

    def mirror(self, images: Tensor) -> Tensor:
        """`(B, M, D, H, W)` to the same, left and right exchanged in a share of the batches; mean image where nothing mirrors."""
        plane = int(self.network.mirror) if isinstance(self.network, RefinedLinearAutoencoder) else -1
        if plane < 0 or not torch.rand(()) < self.mirroring:
            return images
        source = plane - torch.arange(images.shape[2], device=images.device)
        inside = (source >= 0) & (source < images.shape[2])
        mirrored = images[:, :, source.clamp(0, images.shape[2] - 1)]
        return torch.where(inside.view(-1, 1, 1) | torch.isnan(mirrored), mirrored, self.network.scaling.mean_image)

    def hide(self, images: Tensor) -> Tensor:
        """`(B, M, D, H, W)` to the same, hidden modalities NaN."""
        if not self.modality_dropout:
            return images  # and take no random number: others stay what they were
        hidden = torch.zeros(images.shape[:2], dtype=torch.bool)
        for row, present in enumerate(modalities_present(images).cpu()):
            members = torch.nonzero(present)[:, 0]
            if len(members) > 1 and torch.rand(()) < self.modality_dropout:
                kept = int(torch.randint(1, 2 ** len(members) - 1, ()))
                bits = torch.tensor([kept >> bit & 1 for bit in range(len(members))], dtype=torch.bool)
                hidden[row, members[~bits]] = True
        if not hidden.any():
            return images
        return images.masked_fill(hidden.to(images.device)[:, :, None, None, None], torch.nan)
