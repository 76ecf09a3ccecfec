"""NODDI by AMICO, where a user has installed it: its licence allows research and education, nothing commercial."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bundle.mapping.gradients import Gradients
from bundle.mapping.noddi import NoddiMaps, estimate_noise
from bundle.mapping.optional import needed

VOXELS_AT_ONCE, WIDTH = 100_000, 100
"""AMICO keeps several copies of what it is given; NIfTI has no axis longer than 32,767."""
MAPS = ("NDI", "ODI", "FWF")
HARMONICS, DIRECTIONS = 12, 500
"""AMICO's defaults; only their rotations are precomputed, of the twenty-two sets that its `setup` makes."""


def fit_amico(signals: np.ndarray, gradients: Gradients) -> NoddiMaps:
    """NDI, ODI and free water of each voxel by AMICO, with its defaults; b-values are those of the shells.

    Its first call precomputes rotations and keeps them in the home folder.

    Args:
        signals: `(V, N)` magnitudes.
        gradients: of the N volumes.

    Raises:
        InputProblems: if AMICO is not installed.
        ValueError: if it stops.

    Source: Daducci et al. (2015), NeuroImage 105.
    """
    amico = needed("amico")
    maps = np.empty((len(signals), len(MAPS)), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        scheme = np.column_stack([gradients.directions, gradients.shell_of])
        np.savetxt(Path(folder) / "scheme", scheme, fmt="%.8f", header="VERSION: BVECTOR", comments="")
        try:
            amico.set_verbose(1)  # warnings and errors only
            needed("amico.lut").precompute_rotation_matrices(HARMONICS, DIRECTIONS)
            for start in range(0, len(signals), VOXELS_AT_ONCE):
                some = slice(start, start + VOXELS_AT_ONCE)
                maps[some] = _fit(amico, signals[some], folder)
        except SystemExit as error:  # AMICO ends the process where it finds something wrong
            raise ValueError("AMICO stopped; what it found stands above: use --noddi grid.") from error
    found = np.clip(np.nan_to_num(maps), 0, 1)
    return NoddiMaps(found[:, 0], found[:, 1], found[:, 2], estimate_noise(signals, gradients))


def _fit(amico: Any, signals: np.ndarray, folder: str) -> np.ndarray:
    """`(V, 3)`, by way of the files that AMICO reads."""
    for name, values in (("dwi", signals), ("mask", np.ones((len(signals), 1), np.uint8))):
        nib.save(nib.Nifti1Image(_as_image(values), np.eye(4)), Path(folder) / f"{name}.nii")
    evaluation = amico.Evaluation(folder, ".")
    evaluation.load_data("dwi.nii", "scheme", mask_filename="mask.nii", b0_thr=0)
    evaluation.set_model("NODDI")
    evaluation.generate_kernels(lmax=HARMONICS, ndirs=DIRECTIONS)
    evaluation.load_kernels()
    evaluation.fit()
    columns = [list(evaluation.model.maps_name).index(name) for name in MAPS]
    return evaluation.RESULTS["MAPs"].reshape(-1, len(evaluation.model.maps_name))[: len(signals), columns]


def _as_image(values: np.ndarray) -> np.ndarray:
    """`(V, N)` as the voxels `(rows, WIDTH, 1, N)` of an image, without the last axis if N is 1; zeros fill it up."""
    rows = -(-len(values) // WIDTH)
    image = np.zeros((rows * WIDTH, values.shape[1]), dtype=values.dtype)
    image[: len(values)] = values
    return image.reshape(rows, WIDTH, 1, *([-1] if values.shape[1] > 1 else []))
