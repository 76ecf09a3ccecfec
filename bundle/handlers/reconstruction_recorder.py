"""Keep what an evaluation needs of every participant, no more."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.metrics import CumulativeIterationMetric
from torch import Tensor

from custom_nets import FusionAutoencoder


def masked_residuals(network: FusionAutoencoder, images: Tensor) -> np.ndarray:
    """`(B, M, D, H, W)` images to `(B, M, V)` residuals of the training mean image at the brain voxels.

    Divided by one scale per modality, whatever the network's own scaling, so that voxels keep their weight.
    """
    scaling = network.scaling
    inside = scaling.brain_mask > 0
    scale = scaling.gain[:, inside].square().mean(dim=1).sqrt()
    residuals = (images.float() - scaling.mean_image)[:, :, inside] / scale.view(-1, 1)
    return residuals.cpu().numpy()


class ReconstructionRecorder:
    """Records ids, residuals of images and reconstructions in the brain mask, and per-person metrics.

    Args:
        network: the one evaluated.
        metrics: name -> metric giving `(N, M)`.
    """

    def __init__(self, network: FusionAutoencoder, metrics: Mapping[str, CumulativeIterationMetric]) -> None:
        self.network = network
        self.metrics = dict(metrics)
        self.participant_ids: list[str] = []
        self._images: list[np.ndarray] = []
        self._drawn: list[np.ndarray] = []

    def attach(self, engine: Engine) -> None:
        """Act on every `ITERATION_COMPLETED` of an evaluator that does not decollate."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    @torch.no_grad()
    def __call__(self, engine: Engine) -> None:
        drawn, images = engine.state.output["pred"], engine.state.output["label"]
        self.participant_ids += list(engine.state.batch["participant_id"])
        self._images.append(masked_residuals(self.network, images))
        self._drawn.append(masked_residuals(self.network, drawn))
        for metric in self.metrics.values():
            metric(drawn.cpu(), images.cpu())

    @property
    def images(self) -> np.ndarray:
        """`(N, M, V)` residuals of the images."""
        return np.concatenate(self._images)

    @property
    def reconstructions(self) -> np.ndarray:
        """`(N, M, V)` residuals of the reconstructions."""
        return np.concatenate(self._drawn)
