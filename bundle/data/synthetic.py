"""A synthetic cohort with known truth, drawn on a real brain template."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from bundle.data.deformation import (
    border_window,
    exponentiate,
    jacobian_determinant,
    sample,
    smooth_random_fields,
)
from bundle.data.population import MODALITY_LOADINGS, N_FACTORS, Population, draw_population
from bundle.data.problems import InputProblems
from bundle.data.template import OVERSAMPLING, BrainTemplate, load_brain_template

MODALITIES = ("T1w", "FA", "NDI", "JAC")
T1W_UNITS = 800.0
"""T1w of white matter, in the arbitrary units that scanners give."""
SETTING_RANGES = {
    "n_subjects": (1, 10**7),
    "n_strata": (1, N_FACTORS + 1),
    "seed": (0, 2**32 - 1),
    "spacing_mm": (0.5, 20),
}
SITE_CONTRAST, SITE_SHIFT = 0.05, 0.5
"""Of a site effect of 1: relative contrast (RMS in the brain), and standard deviations of phenotype items."""


@dataclass(frozen=True)
class CohortSettings:
    """What the synthetic cohort is like. Defaults give the cohort that the documentation reports on.

    Args:
        n_subjects: number of people.
        spacing_mm: voxel size; 3 mm gives 64 x 64 x 48 voxels.
        seed: all randomness follows from it.
        n_strata: number of discrete groups; 1 is the null cohort, alike in all else (same covariance of factors).
        stratum_separation: distance between stratum centres in within-stratum standard deviations.
        factor_warp_mm: RMS displacement per standard deviation of a factor that owns a warp.
        private_warp_mm: RMS displacement of each person's private anatomy.
        private_scale_mm: its smoothness (FWHM).
        misregistration: the share of the warp that registration left in T1w, FA and NDI (0 is perfect).
        factor_contrast: relative tissue change per standard deviation of a factor.
        tissue_noise: standard deviation of smooth private tissue change, relative.
        tissue_scale_mm: its smoothness (FWHM).
        bias_field: standard deviation of the T1w bias field, relative.
        measurement_noise: voxel-wise noise of T1w (Rician), FA, NDI (Gaussian), relative to T1w of white matter,
            and in FA and NDI units.
        missing_items: rate of missing phenotype values.
        missing_modalities: rate of images that are missing (a person keeps at least one).
        site_effect: what site B does beside its T1w gain, in units of 5 % of contrast (T1w, FA and NDI times one smooth map
            each) and of half a standard deviation of every phenotype item. It changes nothing else.
    """

    n_subjects: int = 300
    spacing_mm: float = 3.0
    seed: int = 0
    n_strata: int = 4
    stratum_separation: float = 6.0
    factor_warp_mm: float = 0.6
    private_warp_mm: float = 2.0
    private_scale_mm: float = 25.0
    misregistration: float = 0.25
    factor_contrast: float = 0.03
    tissue_noise: float = 0.06
    tissue_scale_mm: float = 30.0
    bias_field: float = 0.05
    measurement_noise: tuple[float, float, float] = (0.03, 0.012, 0.025)
    missing_items: float = 0.03
    missing_modalities: float = 0.0
    site_effect: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "measurement_noise", tuple(self.measurement_noise))  # YAML gives a list
        problems = [
            f"{name}: expected {least} to {largest}, got {getattr(self, name)}."
            for name, (least, largest) in SETTING_RANGES.items()
            if not least <= getattr(self, name) <= largest
        ]
        if problems:
            raise InputProblems("Synthetic cohort", problems)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON would give them back."""
        values = asdict(self)
        values["measurement_noise"] = list(self.measurement_noise)
        return values


@dataclass(frozen=True)
class SubjectImages:
    """`images` and `noise_free`: modality -> `(D, H, W)` float32, the same keys; a missing modality is in neither."""

    images: dict[str, np.ndarray]
    noise_free: dict[str, np.ndarray]


class SyntheticCohort:
    """Draws people and their images; each person depends on the seed and their own number only.

    Latent factors move anatomy through smooth stationary velocity fields and tissue through smooth maps, each in its
    own region; on top come a head-size warp, private anatomy, private tissue, bias field and measurement noise.

    Args:
        settings: see `CohortSettings`.
    """

    def __init__(self, settings: CohortSettings) -> None:
        self.settings = settings

    @cached_property
    def template(self) -> BrainTemplate:
        """The undeformed brain on the cohort's grid."""
        return load_brain_template(self.settings.spacing_mm)

    @cached_property
    def population(self) -> Population:
        """Everybody's covariates, phenotypes and true factors."""
        s = self.settings
        rng = np.random.default_rng([s.seed, 1])
        drawn = draw_population(rng, s.n_subjects, s.n_strata, s.stratum_separation, s.missing_items)
        if not s.site_effect:
            return drawn
        is_b = (drawn.participants["site"] == "B").to_numpy()
        shift = SITE_SHIFT * s.site_effect * np.outer(is_b, drawn.phenotypes.std())
        return replace(drawn, phenotypes=(drawn.phenotypes + shift).round(2))

    @cached_property
    def _bases(self) -> dict[str, np.ndarray]:
        """Spatial effect of one standard deviation: factor and head-size velocities (voxels), tissue maps."""
        s, shape = self.settings, self.template.spatial_shape
        rng = np.random.default_rng([s.seed, 2])
        brain = self._brain_mask
        velocities = smooth_random_fields(rng, 3 * N_FACTORS, shape, 28 / s.spacing_mm)
        velocities = velocities.reshape(N_FACTORS, 3, *shape)
        tissue = smooth_random_fields(rng, N_FACTORS, shape, 28 / s.spacing_mm)
        for factor in range(N_FACTORS):
            region = self._region(rng)
            velocities[factor] *= region * self._window
            velocities[factor] *= (
                s.factor_warp_mm / s.spacing_mm / _rms(np.linalg.norm(velocities[factor], axis=0), brain)
            )
            tissue[factor] *= region
            tissue[factor] /= _rms(tissue[factor], brain)
        voxels = np.stack(np.meshgrid(*[np.arange(size) - (size - 1) / 2 for size in shape], indexing="ij"))
        owns_warp = MODALITY_LOADINGS.loc["JAC"].to_numpy(dtype=np.float32)
        return {
            "velocities": velocities * owns_warp[:, None, None, None, None],
            "head_size": (0.02 * voxels * self._window).astype(np.float32),
            "tissue": tissue,
        }

    @cached_property
    def _site_maps(self) -> np.ndarray:
        """`(3, D, H, W)` relative contrast that site B adds to T1w, FA and NDI."""
        s = self.settings
        rng = np.random.default_rng([s.seed, 4])
        maps = smooth_random_fields(rng, 3, self.template.spatial_shape, 60 / s.spacing_mm)
        return SITE_CONTRAST * s.site_effect * np.stack([one / _rms(one, self._brain_mask) for one in maps])

    @cached_property
    def _brain_mask(self) -> np.ndarray:
        identity = torch.zeros(3, *self.template.spatial_shape)
        return (
            sample(torch.from_numpy(self.template.is_brain)[None], identity, oversampling=OVERSAMPLING)[0].numpy() > 0.5
        )

    @cached_property
    def _window(self) -> np.ndarray:
        return border_window(self.template.spatial_shape, margin_voxels=round(12 / self.settings.spacing_mm))

    def _region(self, rng: np.random.Generator) -> np.ndarray:
        """A Gaussian window of 90 mm FWHM around a random brain voxel."""
        inside = np.argwhere(self._brain_mask)
        centre = inside[rng.integers(len(inside))]
        axes = np.meshgrid(*[np.arange(size) for size in self.template.spatial_shape], indexing="ij")
        squared = sum((axis - middle) ** 2 for axis, middle in zip(axes, centre, strict=True))
        sigma = 90 / 2.3548 / self.settings.spacing_mm
        return np.exp(-squared / (2 * sigma**2)).astype(np.float32)

    def draw_subject(self, number: int) -> SubjectImages:
        """Images of person `number` (0-based) and the same images before measurement noise."""
        s, shape = self.settings, self.template.spatial_shape
        rng = np.random.default_rng([s.seed, 3, number])
        truth = self.population.truth.iloc[number]
        person = self.population.participants.iloc[number]
        factors = truth[MODALITY_LOADINGS.columns].to_numpy(dtype=np.float32)

        private = smooth_random_fields(rng, 3, shape, s.private_scale_mm / s.spacing_mm)
        private *= self._window * s.private_warp_mm / s.spacing_mm / np.sqrt(3)
        velocity = np.tensordot(factors, self._bases["velocities"], 1) + private
        velocity += np.float32(truth["head_size"]) * self._bases["head_size"]
        jacobian = jacobian_determinant(exponentiate(torch.from_numpy(velocity))).numpy()
        leftover = exponentiate(torch.from_numpy(-s.misregistration * velocity))
        maps = torch.from_numpy(np.concatenate([self.template.maps, self.template.is_brain[None]]))
        *tissues, brain = sample(maps, leftover, oversampling=OVERSAMPLING).numpy()
        brain = brain > 0.5

        private_tissue = s.tissue_noise * smooth_random_fields(rng, 3, shape, s.tissue_scale_mm / s.spacing_mm)
        bias = s.bias_field * smooth_random_fields(rng, 1, shape, 90 / s.spacing_mm)[0]
        site_gain = 1.05 if person["site"] == "B" else 1.0
        noise_free = {}
        for row, modality in enumerate(MODALITIES[:3]):
            weights = s.factor_contrast * factors * MODALITY_LOADINGS.loc[modality].to_numpy(dtype=np.float32)
            change = 1 + np.tensordot(weights, self._bases["tissue"], 1) + private_tissue[row]
            noise_free[modality] = tissues[row] * change * brain
            if s.site_effect and person["site"] == "B":
                noise_free[modality] *= 1 + self._site_maps[row]
        noise_free["T1w"] *= np.exp(bias) * site_gain
        noise_free["JAC"] = jacobian

        # motion blurs nothing here, but it adds noise; 0.12 mm is the cohort's mean
        sigma = np.asarray(s.measurement_noise) * (0.7 + 0.3 * person["motion_mm"] / 0.12)
        noise = rng.standard_normal((4, *shape), dtype=np.float32)
        images = {
            "T1w": np.hypot(noise_free["T1w"] + sigma[0] * noise[0], sigma[0] * noise[3]) * brain,
            "FA": np.clip(noise_free["FA"] + sigma[1] * noise[1], 0, 1) * brain,
            "NDI": np.clip(noise_free["NDI"] + sigma[2] * noise[2], 0, 1) * brain,
            "JAC": jacobian,
        }
        for volumes in (images, noise_free):
            volumes["T1w"] = volumes["T1w"] * T1W_UNITS
        for modality in self._missing_modalities(rng):
            del images[modality], noise_free[modality]
        return SubjectImages(_as_float32(images), _as_float32(noise_free))

    def _missing_modalities(self, rng: np.random.Generator) -> list[str]:
        missing = [m for m in MODALITIES if rng.random() < self.settings.missing_modalities]
        return missing if len(missing) < len(MODALITIES) else missing[1:]


def _rms(values: np.ndarray, mask: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values[mask] ** 2)))


def _as_float32(volumes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(volume, dtype=np.float32) for name, volume in volumes.items()}
