"""Stop where the loss stops being a number, and say with whom."""

from __future__ import annotations

import math

import torch
from ignite.engine import Engine, Events

from custom_nets.presence import modalities_present


class StopOnNan:
    """Raises when the loss of a batch is NaN or infinite, naming the participants in the batch; the trainer decollates.

    Unlike Ignite's `TerminateOnNan`, which ends the run as if it were complete, this is an error.

    Raises:
        FloatingPointError: from the engine's run.
    """

    def attach(self, engine: Engine) -> None:
        """Act on every `ITERATION_COMPLETED`, before other handlers log the value."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        loss = engine.state.output[0]["loss"]
        if math.isfinite(loss):
            return
        batch = engine.state.batch
        people = [one["participant_id"] for one in batch if not _is_sound(torch.as_tensor(one["image"]))]
        cause = (
            f"the image of {', '.join(people)} is not finite: check it"
            if people
            else f"all images of the batch ({', '.join(one['participant_id'] for one in batch)}) are finite: lower --learning_rate"
        )
        raise FloatingPointError(
            f"Loss {loss} in epoch {engine.state.epoch}, iteration {engine.state.iteration}: {cause}. "
            "Start again in another --output_dir; resuming would come to the same batch."
        )


def _is_sound(image: torch.Tensor) -> bool:
    """Whether the maps that are there, which are not NaN everywhere, are finite everywhere."""
    present = modalities_present(image[None])[0]
    return bool(present.any()) and bool(torch.isfinite(image[present]).all())
