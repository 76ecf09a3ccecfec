"""A map that a source lacks, made of a warp that it has: the warp's Jacobian determinants, or a native map brought through it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import nibabel as nib
import numpy as np

from bundle.data.check import ImageFacts, canonical_grid
from bundle.data.derivations import Derivation
from bundle.data.findings import split_sentence, to_mend
from bundle.data.headers import inspect_header
from bundle.data.problems import InputProblems
from bundle.mapping.optional import needed
from bundle.mapping.precomputed import check_warp, warp_kind, warped_points
from bundle.mapping.volume import Volume, grid_points, read_volume
from bundle.mapping.warp import Warp

THIN_MM = 4.0
"""Distance of the points at which images are compared to see where a warp leads."""
ALIKE, BETTER = 0.95, 0.005
"""Correlation of images that are the same by the warp (`like` is as a rule `native` resampled by it, so .98 and more are usual); and by
how much the way back must be better to be the one that was meant: small warps lay brains on each other either way."""
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
    own = source.warp if warp_kind(source.warp) == "fsl field" else source.like
    return canonical_grid(str(own))


def inspect_derivation(name: str, modality: str, source: Derivation) -> ImageFacts:
    """The grid that a map will have, or what is wrong with the headers of what it is made of."""
    images = [path for path in (source.image, source.native, source.like) if path is not None]
    for path in images:
        fact = inspect_header((name, modality, str(path)))
        if fact.problem:
            return fact
    try:
        check_warp(source.warp, source.like)
        return ImageFacts(*grid_of(source))
    except InputProblems as error:
        return ImageFacts(problem=to_mend((name, modality, str(source.main)), *split_sentence(error.problems[0])))


def check_libraries(sources: Iterable[Derivation]) -> None:
    """Import what reading the warps takes, before anything is computed.

    Raises:
        InputProblems: with the command that installs what is not there.
    """
    kinds = set()
    for source in sources:
        with suppress(InputProblems):  # a broken one is `inspect_derivation`'s matter
            kinds.add(warp_kind(source.warp))
    if kinds & {"itk", "itk field"}:
        needed("SimpleITK")
    if "fnirt" in kinds:
        needed("fsl.transform.fnirt")


def _points(source: Derivation, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Where each voxel of a grid lies in the native image, `(3, D, H, W)` RAS mm."""
    try:
        # FNIRT's result lies on the grid of its reference
        return warped_points(source.warp, shape, affine, source.native, source.like)
    except InputProblems:
        raise
    except Exception as error:  # whatever a broken file makes the reader raise
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise InputProblems("Warp", [f"{source.warp}: the warp cannot be read ({reason[0]}): copy or make it again."]) from error  # fmt: skip


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

    by_warp, by_inverse = likeness(points[thin]), likeness(warp.template_points(own))
    if by_inverse >= ALIKE and by_inverse > by_warp + BETTER:
        raise InputProblems("Warp", [f"{source.warp}: this warp goes from the native image to the template: {source.native.name} lands on {source.like.name} by its inverse (r = {by_inverse:.3f}), not by itself (r = {by_warp:.3f}). Give the other one, which takes points of the template to the native image."])  # fmt: skip
    if by_warp < ALIKE:
        raise InputProblems("Warp", [f"{source.warp}: this warp does not lay {source.native.name} on {source.like.name} (r = {by_warp:.3f}, expected {ALIKE} or more): are the three of one participant, session and space?"])  # fmt: skip
