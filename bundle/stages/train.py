"""Stage 2: what training needs before its first batch and after its last."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.data import CacheDataset
from monai.engines import SupervisedTrainer
from torch.utils.data import Dataset

from bundle.data.check import canonical_grid, padded_affine
from bundle.data.datalist import present_modalities
from bundle.data.one_at_a_time import hold
from bundle.data.problems import InputProblems
from bundle.engines.inferer import AutocastInferer
from bundle.handlers.training_log import TrainingLog
from bundle.losses import KINDS
from bundle.paths import BEST_MODEL, CHECKPOINT, TRAINING, shown_command, stage_folder
from bundle.pictures import learning_curve, reconstruction_picture, save_figure
from bundle.running.process import start_process
from bundle.trained.subsets import refuse_incomplete
from custom_nets import FusionAutoencoder, size_table

logger = logging.getLogger(__name__)


def start_run(
    output_dir: str,
    seed: int,
    resume: bool,
    deterministic: bool,
    max_epochs: int,
    positive: Mapping[str, float | None],
    mirroring: float,
    loss: str,
) -> None:
    """Check the results folder and set up the process, before anything is built.

    Args:
        output_dir: results folder; training writes `2_training/` in it.
        seed: of weights and everything random.
        resume: go on with the run that is there; otherwise there must be none.
        deterministic: only deterministic algorithms (slower on GPUs).
        max_epochs: passes over the training participants; 0 keeps the network as it is fitted.
        positive: settings by name that must be above 0; `gradient_norm` may be None.
        mirroring: share of batches, in [0, 1].
        loss: one of `bundle.losses.KINDS`.

    Raises:
        InputProblems: if a run is there and was not to be resumed, or the other way round, if another process trains in the
            folder, or a setting is none that there is.
    """
    start_process(seed, deterministic)
    problems = [
        f"--{name}: expected a number above 0, got {value!r}."
        for name, value in positive.items()
        if not (name == "gradient_norm" and value is None)
        and not (isinstance(value, int | float) and 0 < value < float("inf"))
    ]
    if isinstance(max_epochs, bool) or not isinstance(max_epochs, int) or max_epochs < 0:
        problems.append(
            f"--max_epochs: expected a whole number of 0 (the network as fitted) or more, got {max_epochs!r}."
        )
    if isinstance(mirroring, str) or not 0 <= mirroring <= 1:
        problems.append(f"--mirroring: expected a share of batches in [0, 1], got {mirroring!r}.")
    if loss not in KINDS:
        problems.append(f"--loss: expected one of {', '.join(KINDS)}, got {loss!r}.")
    if problems:
        raise InputProblems("Settings", problems)
    if not hold(Path(output_dir)):
        raise InputProblems(
            "Results folder", [f"Another training writes {output_dir}: wait for it, or choose another --output_dir."]
        )
    checkpoint = stage_folder(output_dir, TRAINING) / CHECKPOINT
    if checkpoint.is_file() and not resume:
        raise InputProblems(
            "Results folder",
            [f"{checkpoint} is there from an earlier run: go on with --resume True, or choose another --output_dir."],
        )
    if resume and not checkpoint.is_file():
        raise InputProblems("Results folder", [f"--resume True, but there is no {checkpoint}: start without it."])


def fit_network(
    network: FusionAutoencoder, dataset: CacheDataset, device: torch.device, batch_size: int
) -> FusionAutoencoder:
    """Fit what the network has in closed form on the training images, log its size, move it to the device.

    Args:
        network: fresh; after this the default network is a linear embedding, others reconstruct all participants as the mean image.
        dataset: training participants, each a dictionary with `image` `(M, D, H, W)`, absent modalities NaN.
        device: where training runs.
        batch_size: of training; there must be as many participants.

    Raises:
        InputProblems: if there are not as many participants, some lack modalities that the network needs, or the closed form
            cannot be fitted on them.
    """
    refuse_incomplete(network, dataset.data)
    if len(dataset) < batch_size:
        raise InputProblems(
            "Training", [f"{len(dataset)} training participants cannot fill a batch: lower --batch_size {batch_size}."]
        )
    try:
        network.fit_to_images(
            lambda: (torch.as_tensor(dataset[number]["image"]) for number in range(len(dataset))),
            [item["family_id"] for item in dataset.data],
        )
    except ValueError as error:
        raise InputProblems("Training", [str(error)]) from error
    first = dataset.data[0]
    shape, affine = canonical_grid(first[present_modalities(first, network.modalities)[0]])
    network.grid_affine.copy_(torch.from_numpy(padded_affine(shape, affine, network.spatial_size)))
    logger.info("%s", size_table(network, native_voxels_per_modality=prod(shape)))
    return network.to(device)


def run_training(trainer: SupervisedTrainer, output_dir: str) -> None:
    """Run the trainer; on Ctrl-C say what was kept, at the end what was written and what to run next.

    Raises:
        SystemExit: with status 130 after Ctrl-C.
    """
    folder = stage_folder(output_dir, TRAINING)
    try:
        if trainer.state.max_epochs == 0:  # Ignite runs no fewer than one
            trainer.fire_event(Events.STARTED)
            trainer.fire_event(Events.COMPLETED)
        else:
            trainer.run()
    except KeyboardInterrupt:
        if (folder / CHECKPOINT).is_file():
            kept = f"Epochs 1 to {trainer.state.epoch - 1} are in {folder / CHECKPOINT}: go on with --resume True."
        else:
            kept = "No epoch was complete, so there is nothing to resume."
        logger.warning("Interrupted in epoch %d. %s", trainer.state.epoch, kept)
        raise SystemExit(130) from None


class TrainingReport:
    """At the end of a run: pictures, and plain words on what was written and what to run next.

    Args:
        folder: where the run writes.
        network: the trained network.
        log: the run's rows.
        dataset: validation participants; the first one is drawn.
        inferer: runs the network.
    """

    def __init__(
        self,
        folder: str,
        network: FusionAutoencoder,
        log: TrainingLog,
        dataset: Dataset,
        inferer: AutocastInferer,
    ) -> None:
        self.folder = Path(folder)
        self.network = network
        self.log = log
        self.dataset = dataset
        self.inferer = inferer

    def attach(self, engine: Engine) -> None:
        """Act on `COMPLETED`; attach last."""
        engine.add_event_handler(Events.COMPLETED, self)

    @torch.no_grad()
    def __call__(self, engine: Engine) -> None:
        save_figure(learning_curve(self.log.rows, self.network.modalities), self.folder / "learning_curve.png")
        person = self.dataset[0]
        self.network.eval()
        image = torch.as_tensor(person["image"])[None].to(self.network.scaling.mean_image.device)
        drawn = self.inferer(image, self.network)
        figure = reconstruction_picture(
            image[0].cpu().numpy(),
            drawn[0].cpu().numpy(),
            self.network.scaling.mean_image.cpu().numpy(),
            self.network.scaling.brain_mask.cpu().numpy(),
            self.network.modalities,
            f"{person['participant_id']} (validation), drawn from {self.network.embedding_size} values",
        )
        save_figure(figure, self.folder / "reconstruction.png")
        logger.info("%s", closing_words(self.folder, self.log.rows, self.network.modalities))


def closing_words(folder: Path, rows: Sequence[Mapping[str, Any]], modalities: Sequence[str]) -> str:
    """What a run wrote, how good it is, and what comes next."""
    best = max(rows, key=lambda row: row["r2"])
    r2_values = ", ".join(f"{modality} {best[f'r2_{modality}']:.3f}" for modality in modalities)
    return "\n".join(
        [
            f"Training is complete: best validation R² {best['r2']:.3f} in epoch {best['epoch']} ({r2_values};",
            "0 is what the mean image scores, 1 is perfect). Written:",
            f"  {folder / BEST_MODEL}   the best weights, with scaling, mean image and brain mask",
            f"  {folder / CHECKPOINT}   the last state, for --resume True",
            f"  {folder / 'log.tsv'}, tensorboard/, learning_curve.png, reconstruction.png",
            f"Next: {shown_command('evaluating', 'evaluate.yaml')} "
            f"--output_dir {folder.parent} (and those options given here that it has, too)",
        ]
    )
