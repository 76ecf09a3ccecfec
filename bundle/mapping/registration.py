"""Rigid, affine and diffeomorphic registration with SimpleITK."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter

from bundle.mapping.optional import needed
from bundle.mapping.volume import FLIP, Volume, from_itk, to_itk
from bundle.mapping.warp import Warp

LINEAR_MM = (8.0, 4.0)
"""Resolutions of linear registration, coarse to fine; a linear map has no use for finer ones."""
SAMPLES = 20_000
"""Voxels that mutual information is computed from, at most."""
DEMONS_LEVELS = ((4, 60), (2, 40), (1, 25))
"""Shrink factor and iterations, coarse to fine."""
DEMONS_SIGMA_MM = 3.0
"""Smoothing of the displacement after each iteration at the finest level; smaller values fold heads."""


def register_linear(
    fixed: Volume,
    moving: Volume,
    kind: str,
    fixed_mask: np.ndarray | None = None,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """The rigid or affine map from the fixed image's world to the moving one's, `(4, 4)`, RAS mm.

    Mutual information, two resolutions, gradient descent along a regular step.

    Args:
        fixed, moving: of any contrast.
        kind: `rigid` or `affine`.
        fixed_mask: `(D, H, W)` voxels of the fixed image that count; None: all.
        start: `(4, 4)`; None puts centres of mass on each other.
    """
    sitk = needed("SimpleITK")
    fixed_image, moving_image = (to_itk(_thinned(image)) for image in (fixed, moving))
    transform = sitk.Euler3DTransform() if kind == "rigid" else sitk.AffineTransform(3)
    if start is None:
        transform = sitk.CenteredTransformInitializer(
            fixed_image, moving_image, transform, sitk.CenteredTransformInitializerFilter.MOMENTS
        )
    else:
        lps = FLIP @ start @ FLIP
        transform.SetCenter((FLIP @ np.append(_centre(fixed), 1))[:3].tolist())
        transform.SetMatrix(lps[:3, :3].ravel().tolist(), *([1e-3] if kind == "rigid" else []))
        centre = np.asarray(transform.GetCenter())
        transform.SetTranslation((lps[:3, :3] @ centre + lps[:3, 3] - centre).tolist())
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(48)
    method.SetMetricSamplingStrategy(method.RANDOM)
    factors = [max(1, round(mm / float(np.mean(fixed_image.GetSpacing())))) for mm in LINEAR_MM]
    method.SetMetricSamplingPercentagePerLevel(_shares(fixed, fixed_mask, factors), 1)
    if fixed_mask is not None:
        method.SetMetricFixedMask(sitk.Cast(to_itk(fixed.like(fixed_mask)) > 0.5, sitk.sitkUInt8))
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=1e-3, numberOfIterations=100, relaxationFactor=0.5, gradientMagnitudeTolerance=1e-8
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(factors)
    method.SetSmoothingSigmasPerLevel([mm / 2 for mm in LINEAR_MM])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(fixed_image, moving_image)
    return linear_matrix(transform)


def _shares(fixed: Volume, fixed_mask: np.ndarray | None, factors: Sequence[int]) -> list[float]:
    """For each shrink factor the share of the thinned image's voxels that makes `SAMPLES` within the mask."""
    thin = tuple(slice(None, None, step) for step in _steps(fixed))
    counted = np.count_nonzero(np.ones(fixed.shape, bool)[thin] if fixed_mask is None else fixed_mask[thin])
    return [min(1.0, SAMPLES * factor**3 / max(counted, 1)) for factor in factors]


def _steps(volume: Volume) -> list[int]:
    """Every how many voxels along each axis make 2 mm or coarser."""
    return [max(1, int(2.01 // spacing)) for spacing in volume.spacing]


def _thinned(volume: Volume) -> Volume:
    """The image at 2 mm or coarser, which is enough for linear maps."""
    steps = _steps(volume)
    if max(steps) == 1:
        return volume
    sigmas = [0.5 * step if step > 1 else 0 for step in steps]
    affine = volume.affine @ np.diag([*steps, 1])
    return Volume(gaussian_filter(volume.voxels, sigmas)[:: steps[0], :: steps[1], :: steps[2]], affine)


def _centre(volume: Volume) -> np.ndarray:
    return volume.affine[:3, :3] @ ((np.array(volume.shape) - 1) / 2) + volume.affine[:3, 3]


def linear_matrix(transform: Any) -> np.ndarray:
    """`(4, 4)` RAS of an ITK linear transform, by what it does to four points."""
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    lps = np.eye(4)
    lps[:3, 3] = origin
    for axis in range(3):
        lps[:3, axis] = np.array(transform.TransformPoint(tuple(float(axis == other) for other in range(3)))) - origin
    return FLIP @ lps @ FLIP


def register_demons(
    template: Volume,
    brain: Volume,
    affine: np.ndarray,
    levels: Sequence[tuple[int, int]] = DEMONS_LEVELS,
    sigma_mm: float = DEMONS_SIGMA_MM,
) -> Warp:
    """Diffeomorphic demons after an affine map, on the template's grid.

    Args:
        template: brain without skull; the warp is on its grid.
        brain: the participant's brain without skull, of the same contrast.
        affine: `(4, 4)` template world to the participant's.
        levels: shrink factor and iterations, coarse to fine.
        sigma_mm: smoothing of the displacement at the finest level.

    Source: Vercauteren et al. (2009), NeuroImage 45, as SimpleITK has it.
    """
    sitk = needed("SimpleITK")
    fixed = to_itk(template)
    start = Warp.of_affine(affine, template.shape, template.affine)
    moving = to_itk(template.like(brain.at(start.points, float(template.spacing.mean()))))
    moving = sitk.HistogramMatching(moving, fixed, 256, 12, True)
    demons = sitk.DiffeomorphicDemonsRegistrationFilter()
    demons.SetSmoothDisplacementField(True)
    demons.SetStandardDeviations((sigma_mm / template.spacing).tolist())
    field = None
    for shrink, iterations in levels:
        coarse_fixed, coarse_moving = (_coarse(image, shrink) for image in (fixed, moving))
        demons.SetNumberOfIterations(iterations)
        if field is None:
            field = demons.Execute(coarse_fixed, coarse_moving)
        else:
            field = demons.Execute(coarse_fixed, coarse_moving, sitk.Resample(field, coarse_fixed))
    if tuple(field.GetSize()) != template.shape:
        field = sitk.Resample(field, fixed)
    lps = sitk.GetArrayFromImage(field).T  # (3, D, H, W)
    return start.with_displacement(FLIP[:3, :3].diagonal()[:, None, None, None] * lps)


def _coarse(image: Any, shrink: int) -> Any:
    sitk = needed("SimpleITK")
    if shrink == 1:
        return image
    sigmas = [0.5 * shrink * spacing for spacing in image.GetSpacing()]
    return sitk.Shrink(sitk.SmoothingRecursiveGaussian(image, sigmas), [shrink] * image.GetDimension())


def correct_bias(volume: Volume, mask: np.ndarray | None = None, shrink: int = 4) -> Volume:
    """N4 bias-field correction of a T1w image, fitted on a coarser grid; None fits on what Otsu's threshold leaves."""
    sitk = needed("SimpleITK")
    image = to_itk(volume.like(np.maximum(volume.voxels, 0)))
    region = sitk.OtsuThreshold(image, 0, 1, 200) if mask is None else sitk.Cast(to_itk(volume.like(mask)) > 0.5, sitk.sitkUInt8)  # fmt: skip
    factors = [max(1, min(shrink, size // 16)) for size in volume.shape]
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations([50, 50, 30])
    n4.Execute(sitk.Shrink(image, factors), sitk.Shrink(region, factors))
    field = from_itk(sitk.Exp(n4.GetLogBiasFieldAsImage(image)))
    return volume.like(np.maximum(volume.voxels, 0) / np.maximum(field, 1e-3))


def dilated(mask: np.ndarray, spacing: np.ndarray, by_mm: float) -> np.ndarray:
    """A mask grown by about that many mm."""
    return binary_dilation(mask > 0, iterations=max(1, round(by_mm / float(np.mean(spacing)))))
