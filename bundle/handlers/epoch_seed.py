"""The same randomness in epoch e, whether training came there in one go or was resumed."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events
from monai.data import DistributedSampler


class EpochSeed:
    """Seeds torch and the shuffling of an epoch from the run's seed and the epoch's number.

    Args:
        seed: of the run.
        sampler: shuffles the training data; its order depends on its own seed and the epoch.
    """

    def __init__(self, seed: int, sampler: DistributedSampler) -> None:
        self.seed = seed
        self.sampler = sampler

    def attach(self, engine: Engine) -> None:
        """Act on every `EPOCH_STARTED`."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        torch.manual_seed(self.seed * 100_003 + engine.state.epoch)
        self.sampler.set_epoch(engine.state.epoch)
