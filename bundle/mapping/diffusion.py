"""A diffusion scan read volume by volume, so that only brain voxels are ever in memory at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from tqdm.auto import tqdm

from bundle.data.problems import InputProblems
from bundle.mapping.gradients import Gradients
from bundle.mapping.volume import Volume, checked_affine


def mean_unweighted(path: Path, gradients: Gradients) -> Volume:
    """Mean of the volumes without weighting, on the scan's own grid and axes.

    Raises:
        InputProblems: if the file ends too early or the image is empty.
    """
    image: Any = nib.load(path, keep_file_open=True)
    total = np.zeros(image.shape[:3])
    for number in np.flatnonzero(gradients.is_b0):
        total += np.nan_to_num(_volume(image, int(number), path))
    if not total.any():
        raise InputProblems("DWI", [f"{path}: every voxel is zero in the volumes without weighting."])
    return Volume((total / gradients.is_b0.sum()).astype(np.float32), checked_affine(image.affine, path))


def masked_signals(path: Path, mask: np.ndarray, progress: bool = False) -> np.ndarray:
    """Magnitudes `(V, N)` of the voxels of a mask, float32; what is NaN or negative becomes 0.

    Args:
        path: 4D image.
        mask: `(D, H, W)` on its grid and axes, V voxels.
        progress: show a bar.
    """
    # an open file goes on where the last volume ended; otherwise each would decompress all before it
    image: Any = nib.load(path, keep_file_open=True)
    signals = np.empty((image.shape[3], int(mask.sum())), dtype=np.float32)
    for number in tqdm(range(image.shape[3]), desc="Reading DWI", unit="volume", disable=not progress):
        signals[number] = _volume(image, number, path)[mask]
    np.nan_to_num(signals, copy=False, posinf=0, neginf=0)
    np.maximum(signals, 0, out=signals)
    return np.ascontiguousarray(signals.T)


def _volume(image: Any, number: int, path: Path) -> np.ndarray:
    try:
        return np.asarray(image.dataobj[..., number], dtype=np.float32)
    except Exception as error:  # whatever a broken file makes the reader raise
        raise InputProblems("DWI", [f"{path}: volume {number} cannot be read ({error}): copy it again."]) from error
