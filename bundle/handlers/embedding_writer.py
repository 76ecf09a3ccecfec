"""Embeddings, and if asked reconstructions, written as an evaluator goes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from ignite.engine import Engine, Events

from bundle.data.atomic import temporary_name
from bundle.data.datalist import Item, present_modalities
from bundle.data.embedding_table import TABLE, EmbeddingTable, read_embedding_table
from bundle.data.one_at_a_time import one_at_a_time
from bundle.data.original_space import in_space_of
from bundle.data.problems import InputProblems
from bundle.data.voxel_hash import voxel_hashes
from bundle.paths import EMBEDDINGS, stage_folder
from bundle.running.software_versions import software_versions
from bundle.trained.encoder_hash import encoder_hash
from bundle.trained.familiarity import reconstruction_errors, unlike_training
from custom_nets import FusionAutoencoder
from custom_nets.presence import modalities_present

HASHES = "image_hashes.tsv"


def embedded_so_far(folder: Path, network: FusionAutoencoder) -> EmbeddingTable:
    """The embeddings in a stage folder; no participant if there are none yet.

    Raises:
        InputProblems: if they are of another encoder.
    """
    expected = encoder_hash(network)
    file = folder / f"{TABLE}.npz"
    if not file.is_file():
        return EmbeddingTable.empty(expected, network.modalities, software_versions())
    table = read_embedding_table(file)
    if table.encoder_hash != expected:
        raise InputProblems(
            "Embeddings",
            [
                f"{file} holds embeddings of encoder {table.encoder_hash}, this network is encoder {expected}: embeddings of "
                f"different encoders live in different spaces. Choose another --output_dir, or move {folder} away."
            ],
        )
    return table


def image_hashes(
    folder: Path, items: Sequence[Item], modalities: Sequence[str], num_workers: int, progress: bool
) -> np.ndarray:
    """`(N, M)` text: `voxel_hash` of all participants' images, empty where a participant has none; kept beside the table.

    Raises:
        InputProblems: for images that cannot be read.
    """
    paths = [str(item[modality]) for item in items for modality in modalities if modality in item]
    hashes, problems = voxel_hashes(paths, folder / HASHES, num_workers, progress)
    if problems:
        raise InputProblems("Images", problems)
    rows = [[hashes[str(item[m])] if m in item else "" for m in modalities] for item in items]
    return np.array(rows, dtype="<U16").reshape(len(items), len(modalities))


def reconstruction_folder(folder: Path, name: str) -> Path:
    """Where the reconstructions of a participant are."""
    return folder / "reconstructions" / name


class EmbeddingWriter:
    """Collects the embeddings of an evaluator's run; writes `embeddings.npz` and `.tsv` with what made them.

    The NPZ is written whole every 30 seconds, both at the end, also when the run is broken off, so that the next run
    goes on there.

    Args:
        network: the encoder.
        output_dir: results folder; writes `4_embeddings/` in it.
        items: who is embedded, with their files.
        write_reconstructions: also write each reconstruction as NIfTI in its input's own orientation, grid and affine.
        num_workers: threads that tell images apart.
        progress: show a bar meanwhile.
    """

    seconds_between = 30.0

    def __init__(
        self,
        network: FusionAutoencoder,
        output_dir: str,
        items: Sequence[Item],
        write_reconstructions: bool = False,
        num_workers: int = 2,
        progress: bool = True,
    ) -> None:
        self.network = network
        self.hash = encoder_hash(network)
        self.folder = stage_folder(output_dir, EMBEDDINGS)
        self.items = {item["participant_id"]: item for item in items}
        self._pending: list[EmbeddingTable] = []
        self.write_reconstructions = write_reconstructions
        self.table = embedded_so_far(self.folder, network)
        self._known = set(self.table.participant_ids)
        self._images = dict(
            zip(self.items, image_hashes(self.folder, items, network.modalities, num_workers, progress), strict=True)
        )
        self.unlike: list[str] = []
        self._last_write = 0.0

    def attach(self, engine: Engine) -> None:
        """Follow an evaluator that does not decollate and has an `EmbeddingInferer`."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def _start(self, engine: Engine) -> None:
        self._last_write = time.monotonic()

    @torch.no_grad()
    def _add(self, engine: Engine) -> None:
        names = list(engine.state.batch["participant_id"])
        drawn, codes, uncertainties = engine.state.output["pred"]
        images = engine.state.output["image"]
        errors = reconstruction_errors(self.network, images, drawn)
        new = [row for row, name in enumerate(names) if name not in self._known]
        self.unlike += unlike_training(self.network, images, names)
        if new:
            batch = replace(
                EmbeddingTable.empty(self.hash, self.network.modalities, {}),
                participant_ids=np.array(names),
                codes=codes.cpu().numpy(),
                reconstruction_errors=errors.cpu().numpy(),
                present=modalities_present(images).cpu().numpy(),
                uncertainties=uncertainties.cpu().numpy(),
                images=np.stack([self._images[name] for name in names]),
            )
            self._pending.append(batch.in_order_of([names[row] for row in new]))
        if self.write_reconstructions:
            for name, reconstruction in zip(names, drawn.cpu().numpy(), strict=True):
                self._write_reconstruction(name, reconstruction)
        if time.monotonic() - self._last_write > self.seconds_between:
            with one_at_a_time(self.folder):
                self._write_arrays()

    def write(self, engine: Engine | None = None) -> None:
        """Write all embeddings so far, as arrays and as a table."""
        with one_at_a_time(self.folder):
            self._write_arrays()
            if len(self.table):
                self.table.write_text(self.folder)

    def _write_arrays(self) -> None:
        """Participants of the file, to whom another process may have added some, then those who are new; under the folder's lock."""
        known = set(self.table.participant_ids)
        for batch in [embedded_so_far(self.folder, self.network), *self._pending]:
            new = [name for name in batch.participant_ids if name not in known]
            self.table = self.table.with_people(batch.in_order_of(new)) if new else self.table
            known.update(new)
        self._pending = []
        if len(self.table):
            self.table.write_arrays(self.folder)
        self._last_write = time.monotonic()

    def _write_reconstruction(self, name: str, reconstruction: np.ndarray) -> None:
        target = reconstruction_folder(self.folder, name)
        temporary = temporary_name(target)
        temporary.mkdir(parents=True, exist_ok=True)
        try:
            for modality, volume in zip(self.network.modalities, reconstruction, strict=True):
                item = self.items[name]
                # a map that the participant lacks is drawn in the space of one that is there
                original: Any = nib.load(item.get(modality, item[present_modalities(item, self.network.modalities)[0]]))
                nib.save(in_space_of(volume, original), temporary / f"{name}_{modality}_reconstruction.nii.gz")
            shutil.rmtree(target, ignore_errors=True)  # of a run that ended before its embeddings were written
            temporary.replace(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
