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

VOLUMES_AT_ONCE = 16


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
    count = image.shape[3]
    signals = np.empty((int(mask.sum()), count), dtype=np.float32)
    empty: list[int] = []
    with tqdm(total=count, desc="Reading DWI", unit="volume", disable=not progress) as bar:
        # several volumes are turned at once: one alone would touch all of the memory for each of its voxels
        for start in range(0, count, VOLUMES_AT_ONCE):
            numbers = range(start, min(start + VOLUMES_AT_ONCE, count))
            block = np.stack([_volume(image, number, path)[mask] for number in numbers])
            np.nan_to_num(block, copy=False, posinf=0, neginf=0)
            empty += [number for number, values in zip(numbers, block, strict=True) if not (values > 0).any()]
            signals[:, start : numbers.stop] = np.maximum(block, 0).T
            bar.update(len(numbers))
    if empty:
        told = ", ".join(map(str, empty[:10])) + (" ..." if len(empty) > 10 else "")
        raise InputProblems("DWI", [f"{path}: volumes {told} (from 0) are zero or NaN in the whole brain: make the file again, or take them out of image, bvals and bvecs."])  # fmt: skip
    return signals


def _volume(image: Any, number: int, path: Path) -> np.ndarray:
    try:
        return np.asarray(image.dataobj[..., number], dtype=np.float32)
    except Exception as error:  # whatever a broken file makes the reader raise
        raise InputProblems("DWI", [f"{path}: volume {number} cannot be read ({error}): copy it again."]) from error
