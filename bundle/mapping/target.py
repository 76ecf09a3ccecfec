"""What participants are mapped to: a template, and the grid of the network."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nilearn.datasets import load_mni152_brain_mask, load_mni152_template
from scipy.ndimage import binary_fill_holes

from bundle.data.check import canonical_grid
from bundle.data.problems import InputProblems
from bundle.data.resampling import common_grid
from bundle.mapping.volume import Volume, grid_points, read_volume

OWN_TEMPLATE = "MNI ICBM152 2009a symmetric (nilearn's)"


@dataclass(frozen=True)
class Target:
    """Where participants are brought.

    Attributes:
        name: of the template, for participants.
        template: T1w without skull, on the grid that registration works on.
        mask: `(D, H, W)` its brain.
        shape, affine: the network's grid, voxels to RAS mm.
    """

    name: str
    template: Volume
    mask: np.ndarray
    shape: tuple[int, int, int]
    affine: np.ndarray

    @cached_property
    def fingerprint(self) -> str:
        """16 digits of a SHA-256 of the template's voxels and its mask: another image of the same name differs."""
        digest = hashlib.sha256(np.ascontiguousarray(self.template.voxels).tobytes())
        digest.update(np.ascontiguousarray(self.mask).tobytes())
        return digest.hexdigest()[:16]

    @property
    def words(self) -> dict[str, Any]:
        """What tells this template from others, for sidecars."""
        return {
            "name": self.name,
            "shape": list(self.template.shape),
            "affine": self.template.affine.tolist(),
            "content": self.fingerprint,
        }

    @property
    def is_white(self) -> np.ndarray:
        """`(D, H, W)` voxels that are as bright as white matter in the template."""
        low, high = np.percentile(self.template.voxels[self.mask], [75, 95])
        return self.mask & (self.template.voxels >= low) & (self.template.voxels <= high)


def load_target(
    template: str | None,
    template_mask: str | None,
    registration_mm: float,
    spatial_size: Sequence[int],
    spacing_mm: float,
    grid_like: str | None,
) -> Target:
    """Load the template at the resolution of registration.

    Args:
        template: T1w image without skull; None takes the one that nilearn ships, which the synthetic cohort is drawn on.
        template_mask: its brain; None takes where it is above 0.
        registration_mm: voxel size.
        spatial_size, spacing_mm: the network's grid, around the middle of an MNI brain.
        grid_like: an image on the network's grid, instead.

    Raises:
        InputProblems: for files that are not there or cannot be read, and impossible sizes.
    """
    problems = [f"No file {file}." for file in (template, template_mask, grid_like) if file is not None and not Path(file).is_file()]  # fmt: skip
    if not 1 <= registration_mm <= 8:
        problems.append(f"--registration_mm must be from 1 to 8, got {registration_mm}.")
    if template_mask is not None and template is None:
        problems.append("--template_mask goes with --template, an image of your own.")
    if problems:
        raise InputProblems("Template", problems)
    if template is None:
        name, image, mask = OWN_TEMPLATE, _own(load_mni152_template), _own(load_mni152_brain_mask)
    else:
        name, image = Path(template).name, read_volume(Path(template))
        filled = binary_fill_holes(image.voxels > 0)
        mask = image.like(filled) if template_mask is None else read_volume(Path(template_mask))
        if filled.mean() > 0.9:
            raise InputProblems("Template", [f"{template}: {filled.mean():.0%} of it is above 0: expected a T1w image without skull, 0 outside the brain."])  # fmt: skip
    # a coarser grid of the same box
    factor = registration_mm / image.spacing
    shape = tuple(int(np.ceil(size / own)) for size, own in zip(image.shape, factor, strict=True))
    affine = image.affine @ np.diag([*factor, 1.0])
    points = grid_points(shape, affine)
    coarse = Volume(image.at(points, registration_mm), affine)
    if grid_like is not None:
        own_shape, own_affine = canonical_grid(grid_like)
    else:
        own_shape, own_affine = tuple(spatial_size), common_grid(spatial_size, spacing_mm)
    return Target(name, coarse, mask.at(points, registration_mm) > 0.5, (own_shape[0], own_shape[1], own_shape[2]), own_affine)  # fmt: skip


def _own(load: Any) -> Volume:
    image = nib.as_closest_canonical(load(resolution=1))
    return Volume(np.asarray(image.dataobj, dtype=np.float32), np.asarray(image.affine, dtype=float))
