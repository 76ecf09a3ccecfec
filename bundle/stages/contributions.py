"""What the images say beyond the codes: each modality's part in them, maps of strata, and a linear fusion to compare with."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data import Dataset
from torch import Tensor
from tqdm.auto import tqdm

from bundle.analysis.code_space import principal_axes
from bundle.data.atomic import atomic_path
from bundle.data.datalist import SECTIONS, Item, items_from_datalist, present_modalities
from bundle.data.embedding_table import EmbeddingTable
from bundle.encoder_hash import encoder_hash
from bundle.paths import DATALIST, PREPARED, stage_folder
from bundle.stages.embed import in_space_of
from custom_nets import FusionAutoencoder

logger = logging.getLogger(__name__)
MOST_COMPONENTS = 200
"""Principal components of a modality's images at most, for linear fusion."""
VOXEL_BYTES = 2e9
"""Memory for everybody's voxels; every second, third ... voxel of the brain is taken if all take more."""


@dataclass(frozen=True)
class ImageEvidence:
    """What was read from the images.

    Attributes:
        participant_ids: N people, in the order of the embeddings.
        components: `(N, C)` the first 200 principal components of each modality's images, side by side, each modality scaled to the
            same variance: fusion without a network.
        explained_ids: those of them whose images were also encoded with one modality at a time taken away.
        changes: `(N', M, E)` by how much their codes move when a modality is given, rather than the mean image.
    """

    participant_ids: list[str]
    components: np.ndarray
    explained_ids: list[str]
    changes: np.ndarray


def prepared_people(output_dir: str, modalities: Sequence[str]) -> list[Item]:
    """Everybody of `1_prepared` who has every map, whatever their section; nobody if there is no such folder."""
    file = stage_folder(output_dir, PREPARED) / DATALIST
    if not file.is_file():
        return []
    sections = items_from_datalist(file, modalities, any_subset=True)
    everybody = [item for name in SECTIONS for item in sections[name]]
    return [item for item in everybody if len(present_modalities(item, modalities)) == len(modalities)]


def read_images(
    network: FusionAutoencoder,
    dataset: Dataset,
    table: EmbeddingTable,
    n_explained: int,
    device: torch.device,
    seed: int,
    progress: bool = True,
) -> ImageEvidence | None:
    """Go over the images of the embedded people once.

    Args:
        network: the encoder of the embeddings.
        dataset: people of `prepared_people`, preprocessed.
        table: embeddings.
        n_explained: for so many people at random each modality's part in the code is found.
        device: of the network.
        seed: of who they are.
        progress: show a bar.

    Returns:
        None, with a warning, if the images of somebody are not there or the network is another one.
    """
    row_of = {item["participant_id"]: row for row, item in enumerate(dataset.data)}
    absent = [name for name in table.participant_ids if name not in row_of]
    if absent:
        logger.warning(
            "Images of %d embedded people are not all in 1_prepared: no linear fusion, modality shares and maps.",
            len(absent),
        )
        return None
    if encoder_hash(network) != table.encoder_hash:
        logger.warning(
            "The network has hash %s, the embeddings %s: no linear fusion, modality shares and maps. Give --checkpoint.",
            encoder_hash(network),
            table.encoder_hash,
        )
        return None
    names = table.participant_ids.tolist()
    chosen = set(np.random.default_rng(seed).permutation(names)[:n_explained].tolist())
    brain = torch.nonzero(network.scaling.brain_mask.flatten())[:, 0].cpu()
    size = 4.0 * len(names) * len(network.modalities) * len(brain)
    brain = brain[:: max(1, int(np.ceil(size / VOXEL_BYTES)))]
    voxels = np.empty((len(network.modalities), len(names), len(brain)), dtype=np.float32)
    changes, explained = [], []
    for number, name in enumerate(tqdm(names, desc="Reading images", unit="person", disable=not progress)):
        image = torch.as_tensor(dataset[row_of[name]]["image"])
        voxels[:, number] = image.flatten(1)[:, brain].numpy()
        if name in chosen:
            explained.append(name)
            changes.append(code_changes(network, image.to(device)).cpu().numpy())
    parts = []
    for own in voxels:
        centred = own - own.mean(axis=0)
        values, axes = principal_axes(centred)
        parts.append(centred @ axes[:, :MOST_COMPONENTS] / np.sqrt(values.sum()))
    return ImageEvidence(names, np.concatenate(parts, axis=1), explained, np.stack(changes))


def code_changes(network: FusionAutoencoder, image: Tensor) -> Tensor:
    """Code of a person's images `(M, D, H, W)` less the code with modality m at its mean image: `(M, E)`."""
    with torch.no_grad():
        scaled = network.scaling(image[None])
        mean = network.scaling(network.scaling.mean_image[None])[0]
        without = scaled.repeat(len(image), 1, 1, 1, 1)
        for number in range(len(image)):
            without[number, number] = mean[number]
        codes = network.encode_scaled(torch.cat([scaled, without]))[0].flatten(1)
    return codes[0] - codes[1:]


def decoded_differences(
    network: FusionAutoencoder, codes: np.ndarray, rows: Sequence[int], device: torch.device
) -> np.ndarray:
    """What the decoder draws of some people's codes less what it draws of the mean code: `(K, M, D, H, W)`, own units."""
    wanted = np.concatenate([codes.mean(axis=0, keepdims=True), codes[list(rows)]]).astype(np.float32)
    with torch.no_grad():
        drawn = [network.decode(torch.from_numpy(code)[None].to(device))[0].cpu().numpy() for code in wanted]
    return np.stack(drawn[1:]) - drawn[0]


def write_maps(differences: np.ndarray, like: Item, modalities: Sequence[str], folder: Path) -> None:
    """Write `stratum_<k>_<modality>.nii.gz` in the grid and affine of a person's own images; maps of before go."""
    for old in folder.glob("stratum_*.nii.gz"):
        old.unlink()
    originals: dict[str, Any] = {modality: nib.load(like[modality]) for modality in modalities}
    for number, maps in enumerate(differences):
        for modality, volume in zip(modalities, maps, strict=True):
            with atomic_path(folder / f"stratum_{number + 1}_{modality}.nii.gz") as temporary:
                nib.save(in_space_of(volume, originals[modality]), temporary)


def changes_in_space(evidence: ImageEvidence, axes: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Changes of the codes along the axes that strata are found in, `(N', M, D)`."""
    return evidence.changes / scale @ axes
