"""Stage 4: embeddings, and if asked reconstructions, of new people."""

from __future__ import annotations

import logging
import platform
import shutil
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import monai
import nibabel as nib
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from monai.engines import SupervisedEvaluator
from torch import Tensor

from bundle.data.atomic import temporary_name
from bundle.data.check import AFFINE_TOLERANCE, check_against_network
from bundle.data.datalist import Item, check_ids, items_from_datalist, items_from_folder, present_modalities
from bundle.data.embedding_table import TABLE, EmbeddingTable, read_embedding_table
from bundle.data.problems import InputProblems
from bundle.encoder_hash import encoder_hash
from bundle.engines.inferer import AutocastInferer
from bundle.paths import EMBEDDINGS, stage_folder
from bundle.stages.subsets import known_subsets
from custom_nets import FusionAutoencoder
from custom_nets.fusion import ProductOfExperts, maps_present

logger = logging.getLogger(__name__)
FARTHEST = 3.0
"""Root mean square distance from the mean image, in that of a training person, from which an image is told of: training
people have 0.7 to 1.8, fractions under another map's name and Jacobians without their logarithm 3.4 and more."""


def new_people(
    network: FusionAutoencoder,
    output_dir: str,
    images: Mapping[str, str],
    dataset_dir: str | None = None,
    files: Mapping[str, str] | None = None,
    participant_id: str | None = None,
    write_reconstructions: bool = False,
    num_workers: int = 2,
) -> list[Item]:
    """Who is to be embedded, checked against the network; people who have all that is asked for are left out.

    Args:
        network: trained.
        output_dir: results folder; `4_embeddings/` in it is read and written.
        images: modality -> file pattern, for a folder.
        dataset_dir: cohort folder or datalist JSON (all its sections).
        files: modality -> path of one person's image, instead of `dataset_dir`.
        participant_id: of that person.
        write_reconstructions: people in the table whose reconstructions are not there yet are drawn too.
        num_workers: threads that check.

    Raises:
        InputProblems: with everything that cannot be embedded and how to mend it, or if the one person of `files` is in
            the table already.
    """
    if (dataset_dir is None) == (files is None) or (files is None) != (participant_id is None):
        raise InputProblems(
            "Input",
            [
                "Give either --dataset_dir (a folder or a datalist JSON), or --files \"{'T1w': 't1.nii.gz', ...}\" with "
                "--participant_id."
            ],
        )
    if files is not None and not isinstance(files, Mapping):
        raise InputProblems("Input", [f"--files: expected \"{{'T1w': 't1.nii.gz', ...}}\", got {files!r}."])
    items = _find(network, images, dataset_dir, files, participant_id)
    if not items:
        raise InputProblems("Input", [f"{dataset_dir} lists nobody: expected at least one person."])
    folder = stage_folder(output_dir, EMBEDDINGS)
    known = set(embedded_so_far(folder, network).participant_ids)
    new = [
        item
        for item in items
        if item["participant_id"] not in known
        or (write_reconstructions and not reconstruction_folder(folder, item["participant_id"]).is_dir())
    ]
    if files is not None and not new:
        raise InputProblems(
            "Embeddings", [f"{participant_id} is in {folder}/{TABLE}.tsv already: give another --participant_id."]
        )
    if len(new) < len(items):
        logger.info(
            "%d of %d people are in the table already and are left as they are.", len(items) - len(new), len(items)
        )
    problems = subsets_never_trained(network, new) or check_against_network(new, network, num_workers)
    if problems:
        raise InputProblems("Images", problems)
    return new


def subsets_never_trained(network: FusionAutoencoder, items: Sequence[Item]) -> list[str]:
    """A sentence for each subset of maps that people have and training never showed to the network."""
    if not network.takes_any_subset:
        return []
    seen = known_subsets(network)
    people: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for item in items:
        people[present_modalities(item, network.modalities)].append(item["participant_id"])
    known = "; ".join("+".join(subset) for subset in seen)
    return [
        f"{len(names)} people ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''}) have {'+'.join(subset)} only: this "
        f"network was never trained on that. It knows {known}: train with --modality_dropout 0.25."
        for subset, names in people.items()
        if subset not in seen
    ]


def _find(
    network: FusionAutoencoder,
    images: Mapping[str, str],
    dataset_dir: str | None,
    files: Mapping[str, str] | None,
    participant_id: str | None,
) -> list[Item]:
    modalities, any_subset = network.modalities, network.takes_any_subset
    if files is not None and participant_id is not None:
        participant_id = str(participant_id)  # the command line makes a number of 007
        problems = check_ids([participant_id], "--participant_id")
        problems += [
            f"Unknown modality {m!r}: this network knows {', '.join(modalities)}." for m in files if m not in modalities
        ]
        problems += [
            f"{participant_id}: no {m} given: this network needs {', '.join(modalities)}."
            for m in modalities
            if m not in files and not any_subset
        ]
        if not files:
            problems.append(f"{participant_id}: no file given: expected some of {', '.join(modalities)}.")
        problems += [
            f"{participant_id}: {m} is not at {path}." for m, path in files.items() if not Path(path).is_file()
        ]
        if problems:
            raise InputProblems("Files", problems)
        return [
            {"participant_id": participant_id, "family_id": participant_id, **{m: str(p) for m, p in files.items()}}
        ]
    source = Path(str(dataset_dir)).expanduser().resolve()
    if not source.exists():
        raise InputProblems("Input", [f"--dataset_dir {source} does not exist."])
    if source.is_dir():
        return items_from_folder(source, images, modalities, any_subset)
    return [item for items in items_from_datalist(source, modalities, any_subset).values() for item in items]


def embedded_so_far(folder: Path, network: FusionAutoencoder) -> EmbeddingTable:
    """The embeddings in a stage folder; nobody if there are none yet.

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
                f"{file} holds codes of encoder {table.encoder_hash}, this network is encoder {expected}: codes of "
                "different encoders live in different spaces. Choose another --output_dir, or move the file away."
            ],
        )
    return table


class EmbeddingInferer(AutocastInferer):
    """Gives reconstruction, embedding and uncertainty from one pass, as a tuple.

    Reconstructions are `(B, M, D, H, W)`, of every map, and first, since programs that know nothing of codes take the first
    output for `pred` of the metadata. Embeddings are `(B, E)`, their standard deviations too, or `(B, 0)` if the fusion gives
    none.
    """

    def __call__(self, inputs: Tensor, network: Any, *args: Any, **kwargs: Any) -> Any:
        """Encode and decode a batch `(B, M, D, H, W)`.

        Raises:
            InputProblems: if the images say where they are (MONAI's `MetaTensor`), and that is not the network's space.
        """
        if isinstance(inputs, MetaTensor):
            refuse_other_space(inputs.affine, network)
            inputs = inputs.as_tensor()
        skips: list[list[Tensor]] = []

        def encode(images: Tensor) -> Tensor:
            code_map, own_skips = network.encode_scaled(network.scaling(images))
            skips.extend(own_skips)
            return code_map

        code_map = super().__call__(inputs, encode)
        scaled = super().__call__(code_map, lambda code: network.decode_scaled(code, skips))
        gives = isinstance(network.fusion, ProductOfExperts)
        uncertainty = network.fusion.variance.sqrt().flatten(1) if gives else code_map.new_zeros(len(code_map), 0)
        return network.scaling.inverse(scaled), code_map.flatten(1), uncertainty


def refuse_other_space(affine: Tensor, network: Any) -> None:
    """Refuse images on the network's grid whose `(4, 4)` affine is not that of the training images.

    Raises:
        InputProblems: with both.
    """
    expected = network.grid_affine.cpu()
    off = float((affine.cpu() - expected).abs().max())
    if off > AFFINE_TOLERANCE:
        raise InputProblems(
            "Images",
            [
                f"Not in the template space of the training images: affine {affine[:3].tolist()} on the network's grid differs by "
                f"up to {off:.4g} mm from {expected[:3].tolist()}: register or resample to that grid."
            ],
        )


def reconstruction_folder(folder: Path, name: str) -> Path:
    """Where the reconstructions of a person are."""
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
    """

    seconds_between = 30.0

    def __init__(
        self, network: FusionAutoencoder, output_dir: str, items: Sequence[Item], write_reconstructions: bool = False
    ) -> None:
        self.network = network
        self.hash = encoder_hash(network)
        self.folder = stage_folder(output_dir, EMBEDDINGS)
        self.items = {item["participant_id"]: item for item in items}
        self._pending: list[EmbeddingTable] = []
        self.write_reconstructions = write_reconstructions
        self.table = embedded_so_far(self.folder, network)
        self._known = set(self.table.participant_ids)
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
                present=maps_present(images).cpu().numpy(),
                uncertainties=uncertainties.cpu().numpy(),
            )
            self._pending.append(batch.in_order_of([names[row] for row in new]))
        if self.write_reconstructions:
            for name, reconstruction in zip(names, drawn.cpu().numpy(), strict=True):
                self._write_reconstruction(name, reconstruction)
        if time.monotonic() - self._last_write > self.seconds_between:
            self._write_arrays()

    def write(self, engine: Engine | None = None) -> None:
        """Write all embeddings so far, as arrays and as a table."""
        self._write_arrays()
        if len(self.table):
            self.table.write_text(self.folder)

    def _write_arrays(self) -> None:
        for batch in self._pending:
            self.table = self.table.with_people(batch)
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
                # a map that the person lacks is drawn in the space of one that is there
                original: Any = nib.load(item.get(modality, item[present_modalities(item, self.network.modalities)[0]]))
                nib.save(in_space_of(volume, original), temporary / f"{name}_{modality}_reconstruction.nii.gz")
            temporary.replace(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def reconstruction_errors(network: FusionAutoencoder, images: Tensor, drawn: Tensor) -> Tensor:
    """Mean squared error in scaled units in the brain, over the modalities that are there: `(B,)`."""
    scaling = network.scaling
    difference = (drawn - images.nan_to_num()) * scaling.inverse_gain  # 0 outside the brain
    present = maps_present(images)
    per_map = difference.square().sum(dim=(2, 3, 4)) * present
    return per_map.sum(dim=1) / (present.sum(dim=1) * scaling.brain_mask.sum())


def unlike_training(network: FusionAutoencoder, images: Tensor, names: Sequence[str]) -> list[str]:
    """A phrase for each map that looks like no training person's: of another kind, in other units, or not in the space.

    Min-max scaling keeps no spread between people, so nothing is said with it.
    """
    scaling = network.scaling
    if scaling.kind != "residual":
        return []
    squared = ((images.nan_to_num() - scaling.mean_image) * scaling.inverse_gain).square().sum(dim=(2, 3, 4))
    distances = (squared / scaling.brain_mask.sum()).sqrt() * maps_present(images)
    return [
        f"{names[row]} {network.modalities[column]} ({float(distances[row, column]):.1f})"
        for row, column in torch.nonzero(distances > FARTHEST).tolist()
    ]


def in_space_of(volume: np.ndarray, original: nib.Nifti1Image) -> nib.Nifti1Image:
    """A RAS volume on the network's grid, cropped and turned back to the orientation, grid and affine of an image."""
    canonical = nib.as_closest_canonical(original)
    starts = [(size - own) // 2 for size, own in zip(volume.shape, canonical.shape, strict=True)]
    cropped = volume[tuple(slice(start, start + own) for start, own in zip(starts, canonical.shape, strict=True))]
    back = nib.orientations.ornt_transform(nib.io_orientation(canonical.affine), nib.io_orientation(original.affine))
    turned = nib.orientations.apply_orientation(cropped.astype(np.float32), back)
    return nib.Nifti1Image(turned, original.affine)


def software_versions() -> dict[str, str]:
    """What made the embeddings, beside the encoder."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "monai": monai.__version__,
        "numpy": np.__version__,
        "nibabel": nib.__version__,
    }


def run_embedding(evaluator: SupervisedEvaluator, writer: EmbeddingWriter) -> None:
    """Embed everybody who is new and say where the table is.

    Raises:
        SystemExit: with status 130 after Ctrl-C; the embeddings so far are written.
    """
    if writer.items:
        try:
            evaluator.run()
        except KeyboardInterrupt:
            writer.write()
            logger.warning(
                "Interrupted; %d embeddings are in %s, the same command goes on.", len(writer.table), writer.folder
            )
            raise SystemExit(130) from None
        except Exception:
            writer.write()
            raise
    if writer.unlike:
        logger.warning(
            "%d images look like no training person's (distance from the mean image; 1 is usual): %s. Another map under the "
            "name, other units, a Jacobian with or without its logarithm, or not in the template? Do not use these codes.",
            len(writer.unlike),
            ", ".join(writer.unlike),
        )
    logger.info(
        "%d embeddings of %d values from encoder %s: %s/%s.tsv and .npz",
        len(writer.table),
        writer.network.embedding_size,
        writer.hash,
        writer.folder,
        TABLE,
    )
