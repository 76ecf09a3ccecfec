"""What the synthetic cohort is like."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bundle.data.population import N_FACTORS
from bundle.data.problems import InputProblems

TUPLES = ("factor_contrast", "tissue_noise", "measurement_noise")
"""Settings of T1w, FA and NDI each."""
SETTING_RANGES = {
    "n_subjects": (1, 10**7),
    "n_strata": (1, N_FACTORS + 1),
    "seed": (0, 2**32 - 1),
    "spacing_mm": (0.5, 20),
}


@dataclass(frozen=True)
class CohortSettings:
    """Defaults give the cohort that the documentation reports on; lengths are in mm.

    Args:
        n_subjects: number of participants.
        spacing_mm: voxel size; 3 mm gives 64 x 64 x 48 voxels.
        seed: all randomness follows from it.
        n_strata: number of discrete groups; 1 is the null cohort, alike in all else (same covariance of factors).
        stratum_separation: distance between stratum centres in within-stratum standard deviations.
        factor_warp_mm: RMS displacement in the brain per standard deviation of a factor that owns a warp.
        factor_contrast: relative change of T1w, FA and NDI (RMS in the brain) per standard deviation of a factor.
        head_size_warp_mm: RMS displacement per standard deviation of head size, after the affine registration.
        ventricle_log_volume: growth of the lateral ventricles, in log volume, per standard deviation of CSF.
        csf_log_odds: log odds of CSF everywhere, sulci and ventricles alike, per standard deviation of CSF.
        private_warp_mm: RMS displacement of each participant's private anatomy, at 3 mm.
        private_scale_mm: wavelength below which its power falls.
        private_exponent: how fast: the power of a wavelength is proportional to its length to this power.
        registration_scale_mm: registration recovers private anatomy through a Gaussian of this FWHM; finer parts are not in
            JAC but in the other maps.
        misregistration: the share of what registration can recover that it left in T1w, FA and NDI.
        folding: standard deviation, at 3 mm, of the log odds of CSF and of white against grey matter: private folding.
        folding_scale_mm, folding_exponent: its spectrum, like that of the warp.
        tissue_noise: standard deviation of smooth private contrast of T1w, FA and NDI, relative.
        tissue_scale_mm: its smoothness (FWHM).
        bias_field: standard deviation of what is left of the T1w bias field, relative.
        measurement_noise: voxel-wise noise of T1w (Rician), FA, NDI (Gaussian), relative to T1w of white matter,
            and in FA and NDI units.
        missing_items: rate of missing phenotype values.
        missing_modalities: rate of images that are missing (a participant keeps at least one).
        site_effect: what site B does beside its T1w gain, in units of 5 % of contrast (T1w, FA and NDI times one smooth map
            each) and of half a standard deviation of every phenotype item. It changes nothing else.
    """

    n_subjects: int = 300
    spacing_mm: float = 3.0
    seed: int = 0
    n_strata: int = 4
    stratum_separation: float = 6.0
    factor_warp_mm: float = 0.2
    factor_contrast: tuple[float, float, float] = (0.006, 0.025, 0.011)
    head_size_warp_mm: float = 0.2
    ventricle_log_volume: float = 0.22
    csf_log_odds: float = 0.32
    private_warp_mm: float = 2.2
    private_scale_mm: float = 300.0
    private_exponent: float = 4.4
    registration_scale_mm: float = 3.5
    misregistration: float = 0.22
    folding: float = 0.85
    folding_scale_mm: float = 12.0
    folding_exponent: float = 3.6
    tissue_noise: tuple[float, float, float] = (0.004, 0.04, 0.02)
    tissue_scale_mm: float = 30.0
    bias_field: float = 0.005
    measurement_noise: tuple[float, float, float] = (0.02, 0.012, 0.025)
    missing_items: float = 0.03
    missing_modalities: float = 0.0
    site_effect: float = 0.0

    def __post_init__(self) -> None:
        for name in TUPLES:
            object.__setattr__(self, name, tuple(getattr(self, name)))  # YAML gives a list
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
        return values | {name: list(values[name]) for name in TUPLES}
