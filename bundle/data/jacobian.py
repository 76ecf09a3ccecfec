"""Jacobian determinants of any kind brought to one definition: the logarithm, without the affine part."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bundle.data.problems import InputProblems

LEAST_JACOBIAN = 0.01
"""Where the warp folds, and the determinant is 0 or less, this is taken; 1 / 0.01 is the largest."""


def to_log_jacobian(jacobian: np.ndarray, kind: str, affine_determinant: float = 1.0) -> tuple[np.ndarray, int]:
    """log det D(psi_nonlinear), where psi maps the template to the participant: above 0 the participant is locally larger.

    Args:
        jacobian: `(D, H, W)`; voxels that are exactly 0 are background and stay 0.
        kind: `raw` determinants, or their `log`.
        affine_determinant: of the affine part that is in them, template to participant; 1 if there is none.

    Returns:
        `(D, H, W)` float32, and the number of voxels that were outside [0.01, 100] and were set to its ends.
    """
    is_background = jacobian == 0
    values = np.asarray(jacobian, dtype=np.float64)
    n_clipped = 0
    if kind == "raw":
        inside = np.clip(values, LEAST_JACOBIAN, 1 / LEAST_JACOBIAN)
        n_clipped = int(np.count_nonzero((inside != values) & ~is_background))
        values = np.log(inside)
    values = values - np.log(affine_determinant)
    values[is_background] = 0
    return values.astype(np.float32), n_clipped


def affine_determinant(file: Path, direction: str) -> float:
    """Determinant of the 3 x 3 part of an affine, as a map from template to participant.

    Args:
        file: text, four rows of four numbers, in mm on both sides (FSL's `.mat` are; a mirrored axis does not matter).
        direction: `subject_to_template` (how registration tools write it) or `template_to_subject`.

    Raises:
        InputProblems: if it is no such file.
    """
    try:
        matrix = np.loadtxt(file)
    except (OSError, ValueError) as error:
        raise InputProblems(
            "Affine", [f"{file}: cannot be read ({error}): expected four rows of four numbers."]
        ) from error
    if matrix.shape != (4, 4) or not 0.05 < abs(np.linalg.det(matrix[:3, :3])) < 20:
        raise InputProblems("Affine", [f"{file}: expected four rows of four numbers that map a head to a head."])
    determinant = abs(float(np.linalg.det(matrix[:3, :3])))
    return 1 / determinant if direction == "subject_to_template" else determinant
