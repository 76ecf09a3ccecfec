"""How brains of the synthetic cohort differ: patterns that all share, and each participant's private fields."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bundle.data.cohort_settings import CohortSettings
from bundle.data.deformation import border_window
from bundle.data.population import MODALITY_LOADINGS, N_FACTORS, SIBLING_CORRELATION
from bundle.data.random_fields import (
    FWHM_PER_SIGMA,
    filter_noise,
    gaussian_filter,
    matern_filter,
    smooth_random_fields,
    unit_variance,
)
from bundle.data.template import FIELD_OF_VIEW_MM, BrainTemplate

TRAITS = [*MODALITY_LOADINGS.columns[MODALITY_LOADINGS.loc["JAC"] > 0], "head_size", "csf"]
"""What moves anatomy: columns of the truth."""
WARP_PATTERN_MM, CONTRAST_PATTERN_MM, REGION_MM = 20.0, 10.0, 90.0
"""FWHM of a factor's patterns of warp and contrast, and of the region that they are in."""
BRAIN_MM = ((0.0, -20.0, 12.0), (60.0, 76.0, 58.0))
"""Centre and half axes of an ellipsoid within the brain (MNI): regions are centred in it, and RMS is over it."""
VENTRICLES_MM = ((-13.0, -18.0, 15.0), (13.0, -18.0, 15.0))
VENTRICLE_MM = 40.0
"""Middles of the lateral ventricles (MNI), and FWHM of what moves when they grow."""
SITE_CONTRAST = 0.05
"""Of a site effect of 1: relative contrast (RMS in the brain)."""
PRIVATE_SIBLING_CORRELATION = SIBLING_CORRELATION / 2
"""Of private anatomy; identical twins correlate twice as much: heritability is twice this."""


@dataclass(frozen=True)
class PrivateFields:
    """What one participant shares with no participant but, in part, with relatives.

    Attributes:
        registered, left_over: `(3, D, H, W)` velocities in voxels: what registration finds, hence JAC, and what it leaves.
        log_odds: `(2, D, H, W)` of CSF and of white against grey matter, added to those of the template.
        contrast: `(3, D, H, W)` relative change of T1w, FA and NDI.
    """

    registered: np.ndarray
    left_over: np.ndarray
    log_odds: np.ndarray
    contrast: np.ndarray


class Anatomy:
    """Velocities, contrast and private fields on the cohort's grid.

    Args:
        settings: see `CohortSettings`.
        template: the undeformed brain.
    """

    def __init__(self, settings: CohortSettings, template: BrainTemplate) -> None:
        self.settings = settings
        self.template = template

    @cached_property
    def velocities(self) -> np.ndarray:
        """`(len(TRAITS), 3, D, H, W)` float32, voxels per standard deviation of each trait."""
        s, shape = self.settings, self.template.spatial_shape
        rng = np.random.default_rng([s.seed, 2])
        fields = smooth_random_fields(rng, 3 * (len(TRAITS) - 1), shape, WARP_PATTERN_MM / s.spacing_mm)
        fields = fields.reshape(-1, 3, *shape) * self._window
        for trait in range(len(TRAITS) - 2):
            fields[trait] *= self._region(rng)
        sizes = [s.factor_warp_mm] * (len(TRAITS) - 2) + [s.head_size_warp_mm]
        scaled = [self._of_rms(field, size / s.spacing_mm) for field, size in zip(fields, sizes, strict=True)]
        return np.stack([*scaled, self._ventricles()]).astype(np.float32)

    @cached_property
    def tissue(self) -> np.ndarray:
        """`(N_FACTORS, D, H, W)` float32: contrast of RMS 1 in the brain, one pattern for each factor."""
        s, shape = self.settings, self.template.spatial_shape
        rng = np.random.default_rng([s.seed, 7])
        fields = smooth_random_fields(rng, N_FACTORS, shape, CONTRAST_PATTERN_MM / s.spacing_mm)
        return np.stack([self._of_rms(field * self._region(rng), 1.0) for field in fields])

    @cached_property
    def site_contrast(self) -> np.ndarray:
        """`(3, D, H, W)` relative contrast that site B adds to T1w, FA and NDI."""
        s = self.settings
        rng = np.random.default_rng([s.seed, 4])
        fields = smooth_random_fields(rng, 3, self.template.spatial_shape, 60 / s.spacing_mm)
        return np.stack([self._of_rms(field, SITE_CONTRAST * s.site_effect) for field in fields])

    def private_fields(self, own: np.random.Generator, genotype: int, family: int) -> PrivateFields:
        """Private anatomy; what relatives share of it follows from the seed and their numbers.

        Args:
            own: randomness of that participant alone.
            genotype: number of the participant, or of the first of two identical twins.
            family: number of the family.
        """
        s = self.settings
        sources = [np.random.default_rng([s.seed, 5, family]), np.random.default_rng([s.seed, 6, genotype]), own]
        shares = [PRIVATE_SIBLING_CORRELATION, PRIVATE_SIBLING_CORRELATION, 1 - 2 * PRIVATE_SIBLING_CORRELATION]
        noise = np.zeros((8, *self.template.spatial_shape), np.float32)
        for source, share in zip(sources, shares, strict=True):
            noise += np.float32(np.sqrt(share)) * source.standard_normal(noise.shape, dtype=np.float32)
        warp, registered, folding, contrast = self._filters
        return PrivateFields(
            registered=filter_noise(noise[:3], warp * registered) * self._window,
            left_over=filter_noise(noise[:3], warp * (1 - registered * (1 - s.misregistration))) * self._window,
            log_odds=filter_noise(noise[3:5], folding),
            contrast=filter_noise(noise[5:], contrast) * np.array(s.tissue_noise, np.float32).reshape(3, 1, 1, 1),
        )

    @cached_property
    def _filters(self) -> tuple[np.ndarray, ...]:
        """Of private warps, of what registration finds of them, of folding and of contrast."""
        s, shape = self.settings, self.template.spatial_shape
        warp = self._all_scales(s.private_scale_mm, s.private_exponent)
        return (
            warp * s.private_warp_mm / s.spacing_mm / np.sqrt(3),
            gaussian_filter(shape, s.registration_scale_mm / s.spacing_mm),
            self._all_scales(s.folding_scale_mm, s.folding_exponent) * s.folding,
            unit_variance(gaussian_filter(shape, s.tissue_scale_mm / s.spacing_mm)),
        )

    def _all_scales(self, scale_mm: float, exponent: float) -> np.ndarray:
        """Gains of a field of unit variance on the 3 mm grid: of a coarser one it is that field without its finest part."""
        finest = matern_filter([round(size / 3) for size in FIELD_OF_VIEW_MM], scale_mm / 3, exponent)
        gains = matern_filter(self.template.spatial_shape, scale_mm / self.settings.spacing_mm, exponent)
        return gains * np.sqrt(gains.size / np.square(finest).sum())

    @cached_property
    def _window(self) -> np.ndarray:
        return border_window(self.template.spatial_shape, margin_voxels=round(12 / self.settings.spacing_mm))

    @cached_property
    def _brain(self) -> np.ndarray:
        """Weights `(D, H, W)` of a smooth ellipsoid: no voxel is in or out by a hair."""
        centre, radii = (np.reshape(values, (3, 1, 1, 1)) for values in BRAIN_MM)
        distance = np.sqrt(np.square((self.template.points_mm() - centre) / radii).sum(axis=0))
        return np.clip(10 * (1.05 - distance), 0, 1)

    def _of_rms(self, field: np.ndarray, size: float) -> np.ndarray:
        """A field `(D, H, W)` or `(3, D, H, W)`, scaled to that root mean square in the brain."""
        squared = np.square(field).sum(axis=0) if field.ndim == 4 else np.square(field)
        return field * np.float32(size / np.sqrt((squared * self._brain).sum() / self._brain.sum()))

    def _region(self, rng: np.random.Generator) -> np.ndarray:
        """A Gaussian window around a random point of the brain."""
        direction = rng.standard_normal(3)
        at = direction / np.sqrt((direction * direction).sum()) * rng.random() ** (1 / 3)
        return self._blob(np.array(BRAIN_MM[0]) + at * BRAIN_MM[1], REGION_MM)

    def _ventricles(self) -> np.ndarray:
        """Growth around the middle of each lateral ventricle, whose divergence there is that of the log volume."""
        growth = np.zeros((3, *self.template.spatial_shape), np.float32)
        for middle in VENTRICLES_MM:
            away = (self.template.points_mm() - np.reshape(middle, (3, 1, 1, 1))) / self.settings.spacing_mm
            growth += self.settings.ventricle_log_volume / 3 * away * self._blob(middle, VENTRICLE_MM)
        return growth * self._window

    def _blob(self, centre: np.ndarray | tuple[float, ...], fwhm_mm: float) -> np.ndarray:
        squared = np.square(self.template.points_mm() - np.reshape(centre, (3, 1, 1, 1))).sum(axis=0)
        return np.exp(-squared / (2 * np.square(fwhm_mm / FWHM_PER_SIGMA))).astype(np.float32)
