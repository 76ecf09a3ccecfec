"""What the images say beyond the embeddings: each modality's part in them, and a linear fusion to compare with."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from monai.data import Dataset
from torch import Tensor
from tqdm.auto import tqdm

from bundle.analysis.code_space import CodeSpace, principal_axes
from bundle.analysis.contributions import dimension_shares, modality_shares
from bundle.data.embedding_table import EmbeddingTable
from bundle.trained.encoder_hash import encoder_hash
from custom_nets import FusionAutoencoder

logger = logging.getLogger(__name__)
MOST_COMPONENTS = 200
"""Principal components of a modality's images at most, for linear fusion."""
VOXEL_BYTES = 2e9
"""Memory for all participants' voxels; every second, third ... voxel of the brain is taken if all take more."""


@dataclass(frozen=True)
class ImageEvidence:
    """What was read from the images.

    Attributes:
        participant_ids: N participants, in the order of the embeddings.
        components: `(N, C)` the first 200 principal components of each modality's images, side by side, each modality scaled to the
            same variance: fusion without a network.
        explained_ids: those of them whose images were also encoded with one modality at a time taken away.
        changes: `(N', M, E)` by how much their embeddings move when a modality is given, rather than the mean image.
    """

    participant_ids: list[str]
    components: np.ndarray
    explained_ids: list[str]
    changes: np.ndarray


def read_images(
    network: FusionAutoencoder,
    dataset: Dataset,
    table: EmbeddingTable,
    n_explained: int,
    device: torch.device,
    seed: int,
    progress: bool = True,
) -> ImageEvidence | None:
    """Go over the images of the embedded participants once.

    Args:
        network: the encoder of the embeddings.
        dataset: participants of `prepared_people`, preprocessed.
        table: embeddings.
        n_explained: for so many participants at random each modality's part in the embedding is found.
        device: of the network.
        seed: of who they are.
        progress: show a bar.

    Returns:
        None, with a warning, if the images of a participant are not there or the network is another one.
    """
    row_of = {item["participant_id"]: row for row, item in enumerate(dataset.data)}
    absent = [name for name in table.participant_ids if name not in row_of]
    if absent:
        logger.warning(
            "Images of %d embedded participants are not all in 1_prepared: no linear fusion, modality shares and maps.",
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
    brain = _brain_voxels(network, len(names))
    voxels = np.empty((len(network.modalities), len(names), len(brain)), dtype=np.float32)
    changes, explained = [], []
    for number, name in enumerate(tqdm(names, desc="Reading images", unit="participant", disable=not progress)):
        image = torch.as_tensor(dataset[row_of[name]]["image"])
        voxels[:, number] = image.flatten(1)[:, brain].numpy()
        if name in chosen:
            explained.append(name)
            changes.append(code_changes(network, image.to(device)).cpu().numpy())
    components = np.concatenate([_components(own) for own in voxels], axis=1)
    return ImageEvidence(names, components, explained, np.stack(changes))


def _brain_voxels(network: FusionAutoencoder, n_people: int) -> Tensor:
    """Indices into a flat image: the brain's voxels, or every second, third ... so that all participants' fit into memory."""
    brain = torch.nonzero(network.scaling.brain_mask.flatten())[:, 0].cpu()
    size = 4.0 * n_people * len(network.modalities) * len(brain)
    return brain[:: max(1, int(np.ceil(size / VOXEL_BYTES)))]


def _components(voxels: np.ndarray) -> np.ndarray:
    """Principal components of one modality's voxels `(N, V)`, `(N, C)`; their variance is 1 in all."""
    centred = voxels - voxels.mean(axis=0)
    values, axes = principal_axes(centred)
    return centred @ axes[:, :MOST_COMPONENTS] / np.sqrt(values.sum())


def code_changes(network: FusionAutoencoder, image: Tensor) -> Tensor:
    """Embedding of a participant's images `(M, D, H, W)` less the embedding with modality m at its mean image: `(M, E)`."""
    with torch.no_grad():
        scaled = network.scaling(image[None])
        mean = network.scaling(network.scaling.mean_image[None])[0]
        without = scaled.repeat(len(image), 1, 1, 1, 1)
        for number in range(len(image)):
            without[number, number] = mean[number]
        codes = network.encode_scaled(torch.cat([scaled, without]))[0].flatten(1)
    return codes[0] - codes[1:]


def modality_tables(
    evidence: ImageEvidence, space: CodeSpace, strata: pd.Series, codes: np.ndarray, table: EmbeddingTable
) -> dict[str, pd.DataFrame]:
    """Each modality's share of the strata and of the dimensions that they were found in.

    Args:
        evidence: of some of the participants.
        space: that strata were found in.
        strata: N numbers from 1, by participant id.
        codes: `(N, E)` that they were found in.
        table: embeddings.
    """
    moved = evidence.changes / space.scale @ space.axes
    own = strata.index.get_indexer(pd.Index(evidence.explained_ids))
    return {
        "modality_share": modality_shares(
            moved, space.transform(codes)[own], strata.to_numpy()[own] - 1, table.modalities
        ),
        "dimension_share": dimension_shares(moved, table.modalities),
    }
