"""The record of a run: a progress bar and one table row per epoch."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from ignite.engine import Engine, Events
from tqdm.auto import tqdm

from bundle.data.tables import write_table
from bundle.handlers.peak_memory import peak_memory_gb


class TrainingLog:
    """Keeps loss, learning rate and validation metrics of every epoch, shows them while they come, writes `log.tsv`.

    The progress bar counts iterations of the whole run, so its remaining time is that of the run. `step_ms` is the
    epoch's median over steps of the time from a batch in hand to its loss in hand: forward, backward, optimizer, not
    loading, not validation. `memory_gb` is the most that this process, images included, has held so far, and
    `cuda_memory_gb` the most on the GPU, if there is one.

    Args:
        folder: where `log.tsv` is rewritten after every epoch.
        evaluator: whose metrics are shown and kept, as they stand when an epoch ends.
        optimizer: whose learning rate is kept.
        progress: show the bar.
    """

    def __init__(self, folder: str, evaluator: Engine, optimizer: torch.optim.Optimizer, progress: bool = True) -> None:
        self.file = Path(folder) / "log.tsv"
        self.evaluator = evaluator
        self.optimizer = optimizer
        self.progress = progress
        self.rows: list[dict[str, float]] = []
        self._bar: Any = None
        self._losses: list[float] = []
        self._steps: list[float] = []
        self._started = self._step_started = 0.0

    def state_dict(self) -> dict[str, Any]:
        """The rows so far, for the checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the rows of a checkpoint."""
        self.rows = list(state_dict["rows"])

    def attach(self, engine: Engine) -> None:
        """Follow a trainer; attach after the handler that validates."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        engine.add_event_handler(Events.ITERATION_STARTED, self._start_step)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iterate)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._end_epoch)
        engine.add_event_handler(Events.COMPLETED, self._close)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._close_and_raise)

    def record_untrained(self) -> None:
        """A row for the network before its first step, as epoch 0; it has no loss."""
        not_yet = float("nan")
        costs = {"seconds": not_yet, "step_ms": not_yet, "memory_gb": peak_memory_gb()}
        self.rows.append({"epoch": 0, "loss": not_yet, "learning_rate": not_yet, **self._validation(), **costs})
        write_table(pd.DataFrame(self.rows), self.file)

    def _validation(self) -> dict[str, float]:
        return {name: float(value) for name, value in self.evaluator.state.metrics.items()}

    def _start_epoch(self, engine: Engine) -> None:
        if self._bar is None:  # not before: a resumed run knows its epoch only now
            self._bar = tqdm(
                total=engine.state.max_epochs * engine.state.epoch_length,
                initial=engine.state.iteration,
                desc="Training",
                unit="batch",
                disable=not self.progress,
            )
        self._losses, self._steps = [], []
        self._started = time.perf_counter()

    def _start_step(self, engine: Engine) -> None:
        self._step_started = time.perf_counter()

    def _iterate(self, engine: Engine) -> None:
        self._losses.append(
            engine.state.output[0]["loss"]
        )  # decollated: one entry per participant, all with the batch's
        self._steps.append(time.perf_counter() - self._step_started)
        self._bar.update(1)
        self._bar.set_postfix(self._postfix(engine.state.epoch), refresh=False)

    def _end_epoch(self, engine: Engine) -> None:
        row = {
            "epoch": engine.state.epoch,
            "loss": sum(self._losses) / len(self._losses),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            **self._validation(),
            "seconds": time.perf_counter() - self._started,
            "step_ms": 1000 * statistics.median(self._steps),
            "memory_gb": peak_memory_gb(),
        }
        if torch.cuda.is_available():
            row["cuda_memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
        self.rows.append(row)
        self._bar.set_postfix(self._postfix(engine.state.epoch))
        write_table(pd.DataFrame(self.rows), self.file)

    def _postfix(self, epoch: int) -> dict[str, str]:
        recent = self._losses[-10:]
        values = {"epoch": str(epoch), "loss": f"{sum(recent) / len(recent):.3f}"}
        for name, value in self.evaluator.state.metrics.items():
            values[name.removeprefix("r2_")] = f"{float(value):.3f}"
        return values

    def _close(self, engine: Engine) -> None:
        if self._bar is not None:
            self._bar.close()

    def _close_and_raise(self, engine: Engine, error: BaseException) -> None:
        if self._bar is not None:
            self._bar.close()
        raise error


def as_handler(log: TrainingLog) -> TrainingLog:
    """The log itself: MONAI's check of a config reads every handler of a trainer as a mapping and fails on `"@log"`."""
    return log
