"""A synthetic cohort with known truth, simulated on a real brain template."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import torch

from bundle.data.anatomy import TRAITS, Anatomy
from bundle.data.cohort_settings import CohortSettings
from bundle.data.deformation import exponentiate, jacobian_determinant, sample
from bundle.data.jacobian import to_log_jacobian
from bundle.data.population import MODALITY_LOADINGS, Population, draw_population
from bundle.data.random_fields import smooth_random_fields
from bundle.data.template import OVERSAMPLING, BrainTemplate, load_brain_template

MODALITIES = ("T1w", "FA", "NDI", "JAC")
T1W_UNITS = 800.0
"""T1w of white matter, in the arbitrary units that scanners give."""
T1W_OF_TISSUES = (0.32, 0.76, 1.01)
"""Of CSF, grey and white matter: what the template's own tissue maps explain of its T1w, by least squares."""
SITE_GAIN = 1.015
"""T1w of site B over that of site A."""
SITE_SHIFT = 0.5
"""Of a site effect of 1: standard deviations of phenotype items."""
WARP_STEPS = 4
"""Squarings: velocities are below 2 voxels, so each step is below an eighth of a voxel (0.01 voxels from many steps)."""
IMAGE_ROUNDING = 1e-5
"""Processors add in other orders: images agree to this share of their range, tables in every digit."""


@dataclass(frozen=True)
class SubjectImages:
    """`images` and `noise_free`: modality -> `(D, H, W)` float32, the same keys; a missing modality is in neither."""

    images: dict[str, np.ndarray]
    noise_free: dict[str, np.ndarray]


class SyntheticCohort:
    """Simulates participants and their images; each participant depends on the seed, their own number and their family only.

    Latent factors move anatomy through smooth stationary velocity fields and tissue through smooth maps, each in its
    own region; head size and ventricles have a warp each. On top come private anatomy at all scales, of which
    registration finds the coarser part (JAC), a private folding pattern, private contrast, bias field and noise.

    Tables are the same on every processor; images agree within `IMAGE_ROUNDING`.

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
    def anatomy(self) -> Anatomy:
        """Patterns that all share, and private fields."""
        return Anatomy(self.settings, self.template)

    @cached_property
    def population(self) -> Population:
        """All participants' covariates, phenotypes and true factors."""
        s = self.settings
        rng = np.random.default_rng([s.seed, 1])
        drawn = draw_population(rng, s.n_subjects, s.n_strata, s.stratum_separation, s.missing_items)
        if not s.site_effect:
            return drawn
        is_b = (drawn.participants["site"] == "B").to_numpy()
        shift = SITE_SHIFT * s.site_effect * np.outer(is_b, drawn.phenotypes.std())
        return replace(drawn, phenotypes=(drawn.phenotypes + shift).round(2))

    def draw_subject(self, number: int) -> SubjectImages:
        """Images of participant `number` (0-based) and the same images before measurement noise."""
        s, shape = self.settings, self.template.spatial_shape
        rng = np.random.default_rng([s.seed, 3, number])
        truth = self.population.truth.iloc[number]
        person = self.population.participants.iloc[number]
        private = self.anatomy.private_fields(rng, *self._relatives[number])

        traits = np.tensordot(truth[TRAITS].to_numpy(np.float32), self.anatomy.velocities, 1)
        determinant = jacobian_determinant(
            exponentiate(torch.from_numpy(traits + private.registered), WARP_STEPS)
        ).numpy()
        jacobian, _ = to_log_jacobian(determinant, "raw")
        left_over = exponentiate(torch.from_numpy(-s.misregistration * traits - private.left_over), WARP_STEPS)
        csf = np.array([s.csf_log_odds * truth["csf"], 0], np.float32).reshape(2, 1, 1, 1)
        maps, brain = self._tissue_maps(left_over, private.log_odds + csf)

        factors = truth[MODALITY_LOADINGS.columns].to_numpy(np.float32)
        noise_free = {}
        for row, modality in enumerate(MODALITIES[:3]):
            seen = np.float32(s.factor_contrast[row]) * factors * MODALITY_LOADINGS.loc[modality].to_numpy(np.float32)
            change = 1 + np.tensordot(seen, self.anatomy.tissue, 1) + private.contrast[row]
            noise_free[modality] = maps[modality] * change
            if s.site_effect and person["site"] == "B":
                noise_free[modality] *= 1 + self.anatomy.site_contrast[row]
        bias = s.bias_field * smooth_random_fields(rng, 1, shape, 90 / s.spacing_mm)[0]
        noise_free["T1w"] *= np.exp(bias) * (SITE_GAIN if person["site"] == "B" else 1.0)
        noise_free["JAC"] = jacobian

        # motion blurs nothing here, but it adds noise; 0.12 mm is the cohort's mean
        sigma = np.asarray(s.measurement_noise) * (0.7 + 0.3 * person["motion_mm"] / 0.12)
        noise = rng.standard_normal((4, *shape), dtype=np.float32)
        images = {
            "T1w": np.hypot(noise_free["T1w"] + sigma[0] * noise[0] * brain, sigma[0] * noise[3] * brain),
            "FA": np.clip(noise_free["FA"] + sigma[1] * noise[1] * brain, 0, 1),
            "NDI": np.clip(noise_free["NDI"] + sigma[2] * noise[2] * brain, 0, 1),
            "JAC": jacobian,
        }
        for volumes in (images, noise_free):
            volumes["T1w"] = volumes["T1w"] * T1W_UNITS
        for modality in self._missing_modalities(rng):
            del images[modality], noise_free[modality]
        return SubjectImages(_as_float32(images), _as_float32(noise_free))

    def _tissue_maps(
        self, displacement: torch.Tensor, log_odds: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """T1w, FA and NDI of the warped template with its tissue boundaries moved, and the brain, all `(D, H, W)`.

        `log_odds` are those of CSF and of white against grey matter, `(2, D, H, W)`, on top of the template's.

        FA and NDI are composed of tissue shares, since no package ships maps of participants: FA = .10 GM + .48 WM^2,
        NDI = .42 GM + .62 WM.
        """
        stacked = torch.from_numpy(np.concatenate([self.template.t1w[None], self.template.tissues]))
        t1w, *tissues = sample(stacked, displacement, oversampling=OVERSAMPLING).numpy()
        before = np.stack(tissues)
        brain = before.sum(axis=0)
        odds = before * np.exp(np.stack([log_odds[0], np.zeros_like(brain), log_odds[1]]))
        shares = odds * (brain / (odds.sum(axis=0) + 1e-6))
        _, grey, white = shares
        t1w = t1w + np.tensordot(np.array(T1W_OF_TISSUES, np.float32), shares - before, 1)
        return {"T1w": t1w, "FA": 0.10 * grey + 0.48 * white**2, "NDI": 0.42 * grey + 0.62 * white}, brain

    @cached_property
    def _relatives(self) -> list[tuple[int, int]]:
        """Genotype and family of each participant, as numbers: identical twins have that of the first."""
        people = self.population.participants
        family = pd.factorize(people["family_id"])[0]
        numbers = pd.Series(np.arange(len(people)), index=people.index)
        is_identical = people["zygosity"] == "MZ"
        genotype = numbers.where(~is_identical, numbers.groupby([people["family_id"], is_identical]).transform("min"))
        return list(zip(genotype.tolist(), family.tolist(), strict=True))

    def _missing_modalities(self, rng: np.random.Generator) -> list[str]:
        missing = [m for m in MODALITIES if rng.random() < self.settings.missing_modalities]
        return missing if len(missing) < len(MODALITIES) else missing[1:]


def _as_float32(volumes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(volume, dtype=np.float32) for name, volume in volumes.items()}
