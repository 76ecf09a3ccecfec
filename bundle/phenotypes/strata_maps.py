"""Maps of strata: what the decoder draws of exemplars' embeddings less what it draws of the mean embedding."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from bundle.data.atomic import atomic_path
from bundle.data.datalist import Item
from bundle.data.original_space import in_space_of
from custom_nets import FusionAutoencoder

logger = logging.getLogger(__name__)


def decoded_differences(
    network: FusionAutoencoder, codes: np.ndarray, rows: Sequence[int], device: torch.device
) -> np.ndarray:
    """What the decoder draws of some participants' embeddings less what it draws of the mean embedding: `(K, M, D, H, W)`, own units."""
    wanted = np.concatenate([codes.mean(axis=0, keepdims=True), codes[list(rows)]]).astype(np.float32)
    with torch.no_grad():
        drawn = [network.decode(torch.from_numpy(code)[None].to(device))[0].cpu().numpy() for code in wanted]
    return np.stack(drawn[1:]) - drawn[0]


def exemplar_differences(
    network: FusionAutoencoder, clusters: pd.DataFrame, codes: np.ndarray, device: torch.device
) -> np.ndarray | None:
    """`decoded_differences` of each stratum's exemplar, stratum 1 first; None, with a warning, if embeddings cannot be decoded.

    Args:
        network: the encoder of the embeddings.
        clusters: N rows, `strata.tsv` of clustering.
        codes: `(N, E)`.
        device: of the network.
    """
    exemplars = clusters.reset_index()[clusters["is_exemplar"].to_numpy()].sort_values("stratum").index
    try:
        return decoded_differences(network, codes, exemplars.tolist(), device)
    except ValueError as error:  # a decoder that needs the encoder's skips
        logger.warning("No maps of strata: %s", error)
        return None


def write_maps(differences: np.ndarray, like: Item, modalities: Sequence[str], folder: Path) -> None:
    """Write `stratum_<k>_<modality>.nii.gz` in the grid and affine of a participant's own images; maps of before go."""
    for old in folder.glob("stratum_*.nii.gz"):
        old.unlink()
    originals: dict[str, Any] = {modality: nib.load(like[modality]) for modality in modalities}
    for number, maps in enumerate(differences):
        for modality, volume in zip(modalities, maps, strict=True):
            with atomic_path(folder / f"stratum_{number + 1}_{modality}.nii.gz") as temporary:
                nib.save(in_space_of(volume, originals[modality]), temporary)


def maps_picture(
    differences: np.ndarray, mean_image: np.ndarray, brain: np.ndarray, modalities: Sequence[str]
) -> Figure:
    """An axial plane of each decoded exemplar less the decoded mean embedding, a row per stratum and a column per modality.

    Args:
        differences: `(K, M, D, H, W)` in RAS orientation.
        mean_image: `(M, D, H, W)`.
        brain: `(D, H, W)` mask.
        modalities: M names.
    """
    n_strata, n_modalities = differences.shape[:2]
    figure = Figure(figsize=(2.3 * n_modalities + 0.6, 2.7 * n_strata + 0.7), layout="constrained")
    panels = figure.subplots(n_strata, n_modalities, squeeze=False)
    plane = int(np.median(np.nonzero(brain)[2])) + 2
    inside = brain[:, :, plane].T > 0
    for column, modality in enumerate(modalities):
        limit = np.percentile(np.abs(differences[:, column][:, brain > 0]), 99.5)
        for row in range(n_strata):
            panel = panels[row, column]
            behind = np.ma.masked_where(~inside, mean_image[column, :, :, plane].T)
            panel.imshow(behind, cmap="gray", origin="lower")
            shown = np.ma.masked_where(~inside, differences[row, column, :, :, plane].T)
            drawn = panel.imshow(shown, cmap="RdBu_r", vmin=-limit, vmax=limit, origin="lower", alpha=0.85)
            panel.set(xticks=[], yticks=[])
            if column == 0:
                panel.set_ylabel(f"stratum {row + 1}")
            if row == 0:
                panel.set_title(modality)
        figure.colorbar(drawn, ax=panels[:, column], orientation="horizontal", shrink=0.8, pad=0.02)
    figure.suptitle("Decoded exemplar less decoded mean embedding, own units (descriptive)", fontsize=10)
    return figure
