"""A map that a source lacks, made of a warp that it has: the warp's Jacobian determinants, or a native map brought through it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bundle.data.check import ImageFacts, canonical_grid
from bundle.data.derivations import Derivation
from bundle.data.headers import inspect_header
from bundle.data.problems import InputProblems
from bundle.mapping.optional import needed
from bundle.mapping.precomputed import warped_points
from bundle.mapping.volume import Volume, from_itk, grid_points, read_volume, to_itk
from bundle.mapping.warp import Warp

FNIRT_COEFFICIENTS = range(2007, 2010)
"""NIfTI intents of splines and cosines, whose grid is that of knots and not of an image."""
THIN_MM = 4.0
"""Distance of the points at which images are compared to see where a warp leads."""
ALIKE, CLEARLY = 0.85, 0.05
"""Correlation of images that are the same by the warp; and by how much the way back must be better to be the one that was meant."""
FEW = 100


def derive(source: Derivation) -> tuple[np.ndarray, np.ndarray]:
    """Make a map.

    Returns:
        `(D, H, W)` in RAS orientation and its affine: values of the native map, or Jacobian determinants without the affine
        part. That part is the affine which fits the warp best in the brain, where `like` is above 0.

    Raises:
        InputProblems: if a file cannot be read, or the warp does not lay `native` on `like`.
    """
    native, like = read_volume(source.native), read_volume(source.like)
    shape, affine = grid_of(source)
    points = _points(source, shape, affine)
    own = grid_points(shape, affine)
    brain = like.at(own, order=0) > 0
    if brain.sum() < FEW:
        raise InputProblems("Warp", [f"{source.like}: is above 0 at {int(brain.sum())} points of the grid of {source.warp}, so there is no brain: give an image of the same space."])  # fmt: skip
    warp = Warp.of_points(points, affine, brain)
    _refuse_elsewhere(source, warp, points, native, like)
    if source.image is None:
        return warp.jacobian, affine
    return read_volume(source.image).at(points, float(nib.affines.voxel_sizes(affine).mean())), affine


def grid_of(source: Derivation) -> tuple[tuple[int, ...], np.ndarray]:
    """Grid of the map, in RAS orientation: that of a dense FSL field, else that of `like`. Headers only."""
    if source.warp.name.endswith((".nii", ".nii.gz")):
        image: Any = nib.load(source.warp)
        if image.ndim == 4 and int(image.header["intent_code"]) not in FNIRT_COEFFICIENTS:
            return canonical_grid(image)
    return canonical_grid(str(source.like))


def inspect_derivation(name: str, modality: str, source: Derivation) -> ImageFacts:
    """The grid that a map will have, or what is wrong with the headers of what it is made of."""
    images = [path for path in (source.image, source.native, source.like) if path is not None]
    for path in images:
        fact = inspect_header((name, modality, str(path)))
        if fact.problem:
            return fact
    try:
        return ImageFacts(*grid_of(source))
    except Exception as error:  # whatever a broken file makes the reader raise is this file's problem
        return ImageFacts(problem=f"{name}, {modality}, {source.main}: the warp {source.warp} cannot be read ({error}): copy or make it again.")  # fmt: skip


def check_libraries(sources: Iterable[Derivation]) -> None:
    """Import what reading the warps takes, before anything is computed.

    Raises:
        InputProblems: with the command that installs what is not there.
    """
    if any(not source.warp.name.endswith((".nii", ".nii.gz")) for source in sources):
        needed("SimpleITK")


def _points(source: Derivation, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Where each voxel of a grid lies in the native image, `(3, D, H, W)` RAS mm."""
    try:
        transform = _itk_transform(source.warp)
        if transform is None:
            return warped_points(source.warp, grid_points(shape, affine), source.native)
        return grid_points(shape, affine) + _displacement(transform, shape, affine)
    except InputProblems:
        raise
    except Exception as error:  # whatever a broken file makes the reader raise
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise InputProblems("Warp", [f"{source.warp}: the warp cannot be read ({reason[0]}): copy or make it again."]) from error  # fmt: skip


def _itk_transform(file: Path) -> Any:
    """A transform that ITK applies, None if the file is FSL's."""
    if not file.name.endswith((".nii", ".nii.gz")):
        return needed("SimpleITK").ReadTransform(str(file))
    image: Any = nib.load(file)
    if image.shape[3:] != (1, 3):
        return None
    sitk = needed("SimpleITK")
    return sitk.DisplacementFieldTransform(sitk.ReadImage(str(file), sitk.sitkVectorFloat64))


def _displacement(transform: Any, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Of a whole grid at once, `(3, D, H, W)` RAS mm: a point at a time takes fifty times as long."""
    sitk = needed("SimpleITK")
    sample = sitk.TransformToDisplacementFieldFilter()
    sample.SetReferenceImage(to_itk(Volume(np.zeros(shape, np.float32), affine)))
    sample.SetOutputPixelType(sitk.sitkVectorFloat64)
    return np.array([-1.0, -1.0, 1.0]).reshape(3, 1, 1, 1) * from_itk(sample.Execute(transform))


def _refuse_elsewhere(source: Derivation, warp: Warp, points: np.ndarray, native: Volume, like: Volume) -> None:
    """Look where the native image lands, by the warp (which takes the grid's voxels to `points`) and by its inverse.

    Raises:
        InputProblems: if it does not land on what it should.
    """
    step = [max(1, round(THIN_MM / size)) for size in nib.affines.voxel_sizes(warp.grid_affine)]
    thin = (slice(None), *(slice(None, None, each) for each in step))
    own = grid_points(points.shape[1:], warp.grid_affine)[thin]
    expected = like.at(own, THIN_MM)

    def likeness(where: np.ndarray) -> float:
        found = native.at(where, THIN_MM)
        return float(np.corrcoef(found.ravel(), expected.ravel())[0, 1]) if found.std() > 0 else 0.0

    by_warp = likeness(points[thin])
    if by_warp > 1 - CLEARLY:
        return
    by_inverse = likeness(warp.template_points(own))
    if by_inverse >= ALIKE and by_inverse > by_warp + CLEARLY:
        raise InputProblems("Warp", [f"{source.warp}: this warp goes from the native image to the template: {source.native.name} lands on {source.like.name} by its inverse (r = {by_inverse:.2f}), not by itself (r = {by_warp:.2f}). Give the other one, which takes points of the template to the native image."])  # fmt: skip
    if by_warp < ALIKE:
        raise InputProblems("Warp", [f"{source.warp}: this warp does not lay {source.native.name} on {source.like.name} (r = {by_warp:.2f}, expected {ALIKE} or more): are the three of one person, session and space?"])  # fmt: skip
