"""Registration by ANTs, where it is installed: its affine and its symmetric diffeomorphism (SyN)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bundle.mapping.optional import needed
from bundle.mapping.registration import linear_matrix
from bundle.mapping.volume import FLIP, Volume
from bundle.mapping.warp import Warp

TRANSFORM = "SyN"
ITERATIONS = (40, 40, 20)
"""At 8, 4 and 2 mm, for a template of 2 mm. ANTs leaves the finest level out by default, which is right at 1 mm only."""


def register_ants(template: Volume, brain: Volume) -> Warp:
    """ANTs' affine by mutual information, then SyN, on the template's grid.

    Args:
        template: brain without skull; the warp is on its grid.
        brain: the participant's brain without skull.

    Source: Avants et al. (2008), Medical Image Analysis 12.
    """
    ants = needed("ants")
    with tempfile.TemporaryDirectory() as folder:
        found = ants.registration(
            fixed=to_ants(template),
            moving=to_ants(brain),
            type_of_transform=TRANSFORM,
            reg_iterations=ITERATIONS,
            outprefix=f"{folder}/",
        )
        return read_transforms([Path(file) for file in found["fwdtransforms"]], template)


def to_ants(volume: Volume) -> Any:
    """An ANTs image, float32, in ITK's LPS world."""
    lps = FLIP @ volume.affine
    return needed("ants").from_numpy(
        np.ascontiguousarray(volume.voxels, dtype=np.float32),
        origin=lps[:3, 3].tolist(),
        spacing=volume.spacing.tolist(),
        direction=lps[:3, :3] / volume.spacing,
    )


def read_transforms(files: Sequence[Path], template: Volume) -> Warp:
    """The warp that ANTs' forward transforms are: a point goes through the displacement, then through the affine.

    Args:
        files: a displacement field on the template's grid (`Warp.nii.gz`) and an affine (`.mat`), in ANTs' order.
        template: whose grid it is.

    Raises:
        ValueError: for other transforms, or a field on another grid.
    """
    if [file.name.endswith(".nii.gz") for file in files] != [True, False]:
        raise ValueError(f"Expected a displacement field and an affine from ANTs, got {', '.join(file.name for file in files)}.")  # fmt: skip
    image: Any = nib.load(files[0])
    if image.shape != (*template.shape, 1, 3) or not np.allclose(image.affine, template.affine, atol=1e-3):
        raise ValueError(f"Expected ANTs' displacement on the template's grid {template.shape}, got {image.shape}.")
    lps = np.moveaxis(np.asarray(image.dataobj, dtype=np.float32)[..., 0, :], -1, 0)
    affine = linear_matrix(needed("SimpleITK").ReadTransform(str(files[1])))
    start = Warp.of_affine(affine, template.shape, template.affine)
    return start.with_displacement(FLIP[:3, :3].diagonal()[:, None, None, None] * lps)
