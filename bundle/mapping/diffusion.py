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
    """Mean of the volumes without weighting, on the scan's own grid and axes; NaN and zero count for nothing.

    Raises:
        InputProblems: if the file ends too early or the image is empty.
    """
    image: Any = nib.load(path, keep_file_open=True)
    total, counts = np.zeros(image.shape[:3]), np.zeros(image.shape[:3])
    for number in np.flatnonzero(gradients.is_b0):
        volume = _volume(image, int(number), path)
        usable = np.isfinite(volume) & (volume > 0)
        total += np.where(usable, volume, 0)
        counts += usable
    if not total.any():
        raise InputProblems("DWI", [f"{path}: every voxel is zero in the volumes without weighting."])
    return Volume((total / np.maximum(counts, 1)).astype(np.float32), checked_affine(image.affine, path))


def masked_signals(path: Path, mask: np.ndarray, progress: bool = False) -> np.ndarray:
    """Magnitudes `(V, N)` of the voxels of a mask, float32; what is NaN or negative becomes 0.

    Args:
        path: 4D image.
        mask: `(D, H, W)` on its grid and axes, V voxels.
        progress: show a bar.

    Raises:
        InputProblems: naming volumes that hold nothing in the mask: a fit would take their zeros for signal.
    """
    # an open file goes on where the last volume ended; otherwise each would decompress all before it
    image: Any = nib.load(path, keep_file_open=True)
    signals = np.empty((image.shape[3], int(mask.sum())), dtype=np.float32)
    for number in tqdm(range(image.shape[3]), desc="Reading DWI", unit="volume", disable=not progress):
        signals[number] = _volume(image, number, path)[mask]
    empty = [number for number in range(len(signals)) if not (np.nan_to_num(signals[number]) > 0).any()]
    if empty:
        told = ", ".join(map(str, empty[:10])) + (" ..." if len(empty) > 10 else "")
        raise InputProblems("DWI", [f"{path}: volumes {told} (from 0) are zero or NaN in the whole brain: make the file again, or take them out of image, bvals and bvecs."])  # fmt: skip
    np.nan_to_num(signals, copy=False, posinf=0, neginf=0)
    np.maximum(signals, 0, out=signals)
    return np.ascontiguousarray(signals.T)


def _volume(image: Any, number: int, path: Path) -> np.ndarray:
    try:
        return np.asarray(image.dataobj[..., number], dtype=np.float32)
    except Exception as error:  # whatever a broken file makes the reader raise
        raise InputProblems("DWI", [f"{path}: volume {number} cannot be read ({error}): copy it again."]) from error
