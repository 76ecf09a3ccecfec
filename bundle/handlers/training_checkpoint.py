"""The best weights, and a checkpoint from which training goes on exactly."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator

from bundle.data.atomic import atomic_path
from bundle.data.problems import InputProblems
from bundle.handlers.training_log import TrainingLog
from bundle.paths import BEST_MODEL, CHECKPOINT
from bundle.trained.weights import check_fits, read_weights
from custom_nets import FusionAutoencoder

logger = logging.getLogger(__name__)


class TrainingCheckpoint:
    """Before the first epoch and after every one writes `checkpoint.pt`, and `model.pt` when the validation R² is the best so far.

    `model.pt` is the network's state on the CPU, as the model-zoo format asks. Both files are written under another
    name first. MONAI's `CheckpointSaver` would do, but it forgets the best score when a run is resumed.

    Args:
        folder: where to write.
        network: its scaling travels with its weights.
        optimizer: saved and restored.
        lr_scheduler: saved and restored.
        log: saved and restored.
        evaluator: whose `metric` decides.
        settings: plain values that must be the same when a run is resumed.
        resume: restore `checkpoint.pt` when the run starts.
        metric: name of the metric; higher is better.

    Raises:
        InputProblems: on resuming with other settings or another network.
        OSError: if a file cannot be written, for example on a full disk; the one before stays.
    """

    def __init__(
        self,
        folder: str,
        network: FusionAutoencoder,
        optimizer: torch.optim.Optimizer,
        lr_scheduler: torch.optim.lr_scheduler.LRScheduler,
        log: TrainingLog,
        evaluator: Evaluator,
        settings: Mapping[str, Any],
        resume: bool = False,
        metric: str = "r2",
    ) -> None:
        self.folder = Path(folder)
        self.network = network
        self.parts: dict[str, Any] = {
            "network": network,
            "optimizer": optimizer,
            "lr_scheduler": lr_scheduler,
            "log": log,
        }
        self.log, self.evaluator = log, evaluator
        self.settings = dict(settings)
        self.resume = resume
        self.metric = metric
        self.best = float("-inf")

    def attach(self, engine: Engine) -> None:
        """Follow a trainer; attach after the handlers that validate, log and step the learning rate."""
        engine.add_event_handler(Events.STARTED, self.restore if self.resume else self.start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def start(self, engine: Engine) -> None:
        """Evaluate and keep the network as it is before the first step: a fitted linear embedding is a valid result."""
        self.evaluator.run(0)
        self.log.record_untrained()
        self.save(engine)

    def save(self, engine: Engine) -> None:
        """Write `checkpoint.pt`, after `model.pt` if it is the best."""
        r2 = self.evaluator.state.metrics.get(self.metric)
        if r2 is not None and r2 > self.best:
            self.best = float(r2)
            _write({name: value.cpu() for name, value in self.network.state_dict().items()}, self.folder / BEST_MODEL)
        state = {name: part.state_dict() for name, part in self.parts.items()}
        state.update(
            epoch=engine.state.epoch,
            epoch_length=engine.state.epoch_length,
            best=self.best,
            settings=self.settings,
        )
        _write(state, self.folder / CHECKPOINT)

    def restore(self, engine: Engine) -> None:
        """Take everything up where `checkpoint.pt` left it."""
        file = self.folder / CHECKPOINT
        state = read_weights(file)  # on the CPU; each part moves its own to its device
        differing = [
            f"{key}: {state['settings'].get(key)} then, {value} now"
            for key, value in self.settings.items()
            if state["settings"].get(key) != value
        ]
        if differing:
            raise InputProblems(
                "Resuming", [f"{file} is of a run with other settings ({'; '.join(differing)}): resume with those."]
            )
        check_fits(self.network, state["network"], str(file))
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        self.best = state["best"]
        engine.load_state_dict(
            {"epoch": state["epoch"], "epoch_length": state["epoch_length"], "max_epochs": engine.state.max_epochs}
        )
        logger.info("Resumed after epoch %d; best validation R² so far %.3f.", state["epoch"], self.best)


def _write(state: Mapping[str, Any], file: Path) -> None:
    try:
        with atomic_path(file) as temporary:
            torch.save(state, temporary)
    except (OSError, RuntimeError) as error:  # torch's archive writer reports a full disk as RuntimeError
        raise OSError(
            f"Could not write {file} ({error}). What was there before is whole; make room and go on with --resume True."
        ) from error
