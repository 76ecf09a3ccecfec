"""R², the metric that training is steered by and evaluation reports first."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ignite.metrics import Metric
from monai.handlers import from_engine
from torch import Tensor

from custom_nets import FusionAutoencoder
from custom_nets.presence import modalities_present


class ReconstructionR2(Metric):
    """Share of between-person variance that the reconstruction explains, in the brain mask.

        R² = 1 - sum |x - x_hat|^2 / sum |x - mean image|^2

    over participants and brain voxels: 1 is perfect, 0 is what the training mean image scores, below 0 is worse than it.
    The sums run over all participants before dividing, per modality; a map that a participant does not have counts for nothing.

    Args:
        network: gives the mean image and the brain mask.
        channel: index of the modality, or None for the mean of the modalities' R² values.

    Source: the variance explained of Nash & Sutcliffe (1970), with the training mean image as reference.
    """

    def __init__(self, network: FusionAutoencoder, channel: int | None = None) -> None:
        self._network = network
        self._channel = channel
        super().__init__(output_transform=from_engine(["pred", "label"]))

    def reset(self) -> None:
        """Forget all participants seen."""
        self._error = torch.zeros(len(self._network.modalities), dtype=torch.float64)
        self._reference = torch.zeros_like(self._error)

    def update(self, output: tuple[Sequence[Tensor], Sequence[Tensor]]) -> None:
        """Add a batch: lists of `(M, D, H, W)` reconstructions and images."""
        mean_image, mask = self._network.scaling.mean_image, self._network.scaling.brain_mask
        for reconstruction, image in zip(*output, strict=True):
            present = modalities_present(image[None])[0].view(-1, 1, 1, 1)
            self._error += _masked_sum_of_squares((reconstruction.float() - image).where(present, 0), mask)
            self._reference += _masked_sum_of_squares((image - mean_image).where(present, 0), mask)

    def compute(self) -> float:
        """The R² of the participants seen since the last reset."""
        r2 = 1 - self._error / self._reference  # NaN for a modality that no participant has
        return float(r2.nanmean() if self._channel is None else r2[self._channel])


def r2_metrics(network: FusionAutoencoder) -> dict[str, ReconstructionR2]:
    """One `ReconstructionR2` per modality, named `r2_<modality>`."""
    return {f"r2_{name}": ReconstructionR2(network, channel) for channel, name in enumerate(network.modalities)}


def _masked_sum_of_squares(difference: Tensor, mask: Tensor) -> Tensor:
    return (difference.square() * mask).sum(dim=(1, 2, 3)).double().cpu()
