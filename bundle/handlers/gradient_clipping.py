"""Keep one bad batch from throwing the weights away."""

from __future__ import annotations

from ignite.engine import Engine
from monai.engines import IterationEvents
from torch import nn


class GradientClipping:
    """Clips the norm of all gradients after the backward pass, before the optimizer's step.

    Args:
        network: whose parameters' gradients are clipped.
        max_norm: largest 2-norm left as it is; None: gradients are left alone.
    """

    def __init__(self, network: nn.Module, max_norm: float | None = 1.0) -> None:
        self.network = network
        self.max_norm = float("inf") if max_norm is None else max_norm

    def attach(self, engine: Engine) -> None:
        """Act on every `BACKWARD_COMPLETED`."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        nn.utils.clip_grad_norm_(self.network.parameters(), self.max_norm)
