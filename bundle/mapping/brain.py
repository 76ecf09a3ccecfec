"""Which voxels of a head are brain."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_closing, binary_fill_holes, binary_opening, label

from bundle.mapping.optional import needed
from bundle.mapping.registration import dilated, register_demons, register_linear
from bundle.mapping.volume import Volume, apply, from_itk, grid_points, read_volume, to_itk, write_volume

METHODS = ("auto", "given", "deepbet", "template")
HEAD_MM, SCALP_MM, RIM_MM = 180.0, 14.0, 4.0
"""From the crown to the base of the brain, of scalp and skull above it, and the dark rim that registration sees."""


def choose_method(wanted: str, is_given: bool) -> str:
    """What `auto` means: a mask that is there, else deepbet if it is installed, else the template's."""
    if wanted != "auto":
        return wanted
    return "given" if is_given else "deepbet" if find_spec("deepbet") else "template"


def mask_by_deepbet(head: Volume) -> np.ndarray:
    """The mask of deepbet's network `(D, H, W)`; its weights come with the package."""
    deepbet = needed("deepbet")
    with tempfile.TemporaryDirectory() as folder:
        image, brain, mask = (Path(folder) / f"{name}.nii.gz" for name in ("head", "brain", "mask"))
        write_volume(image, head)
        deepbet.run_bet([str(image)], [str(brain)], [str(mask)], no_gpu=True)
        return read_volume(mask).voxels > 0.5


def mask_by_template(head: Volume, template: Volume, template_mask: np.ndarray) -> np.ndarray:
    """The template's mask, laid on the head by an affine and a diffeomorphic registration, `(D, H, W)`.

    Args:
        head: T1w with or without skull, bias corrected; the neck may be in it.
        template: T1w without skull.
        template_mask: of its brain.
    """
    rim = dilated(template_mask, template.spacing, RIM_MM)
    affine = register_linear(template, head, "affine", rim, start=_crown_on_crown(head, template, template_mask))
    points = grid_points(head.shape, head.affine)
    # what lies outside the rim after the affine map is scalp, which the template has not
    near = Volume(rim, template.affine).at(apply(np.linalg.inv(affine), points)) > 0.5
    warp = register_demons(template, head.like(head.voxels * near), affine)
    # the way back is computed on every second voxel or so, then refined
    steps = [max(1, int(template.spacing.min() // spacing)) for spacing in head.spacing]
    coarse = points[:, :: steps[0], :: steps[1], :: steps[2]]
    inside = Volume(template_mask, template.affine).at(warp.template_points(coarse))
    mask = Volume(inside, head.affine @ np.diag([*steps, 1])).at(points) > 0.5
    return np.asarray(binary_fill_holes(mask))


def _crown_on_crown(head: Volume, template: Volume, template_mask: np.ndarray) -> np.ndarray:
    """A shift that puts the template's brain under the crown of the head, in the middle of what is near it."""
    sitk = needed("SimpleITK")
    foreground = binary_opening(from_itk(sitk.OtsuThreshold(to_itk(head), 0, 1, 200)) > 0, iterations=2)
    world = grid_points(head.shape, head.affine)[:, foreground]
    crown = np.percentile(world[2], 99.9)
    upper = world[:, world[2] > crown - HEAD_MM * 0.75]
    brain = grid_points(template.shape, template.affine)[:, template_mask > 0]
    shift = np.eye(4)
    middle = [(np.percentile(upper[axis], 1) + np.percentile(upper[axis], 99)) / 2 for axis in range(2)]
    own = [(brain[axis].min() + brain[axis].max()) / 2 for axis in range(2)]
    shift[:3, 3] = [middle[0] - own[0], middle[1] - own[1], crown - SCALP_MM - brain[2].max()]
    return shift


def mask_of_unweighted(image: np.ndarray) -> np.ndarray:
    """Brain of the mean image without diffusion weighting, `(D, H, W)`: dipy's median filter and Otsu's threshold."""
    _, mask = needed("dipy.segment.mask").median_otsu(image, median_radius=2, numpass=2)
    labels, count = label(binary_closing(mask, iterations=2))
    if count > 1:
        mask = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    return np.asarray(binary_fill_holes(mask))
