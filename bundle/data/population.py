"""Participants of the synthetic cohort: families, strata, latent factors, covariates and phenotype items.

Sizes of effects. Factors and head size are as heritable as the volume of the brain, 0.8, and private anatomy as local
volumes, 0.4 (twin studies: Jansen et al. 2015, Neuropsychology Review 25). Men's heads are larger by 1.4 standard deviations
within a sex (Ritchie et al. 2018, Cerebral Cortex 28: 1.4 for the volume of the brain), with 140 ml between participants.
The strata, 6 standard deviations apart, and correlations of 0.6 of phenotype factors with brain factors are planted positive
controls, there to be found: correlations of brain and behaviour in real participants are below 0.2 (Marek et al. 2022, Nature 603).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

N_FACTORS = 6
DECIMALS = 6
"""Factors are rounded to this many decimals, so that processors that differ in the last bit give the same tables."""
MODALITY_LOADINGS = pd.DataFrame(
    # a factor shifts tissue contrast in T1w, FA and NDI and owns a warp, hence JAC, where its entry is 1;
    # no modality sees all six, so only fusing them recovers the participant
    [[1, 1, 0, 0, 0, 0], [1, 0, 1, 0, 1, 0], [0, 1, 0, 1, 1, 0], [1, 1, 0, 0, 0, 1]],
    index=["T1w", "FA", "NDI", "JAC"],
    columns=[f"factor_{k + 1}" for k in range(N_FACTORS)],
)

SIBLING_CORRELATION = 0.4
"""Identical twins correlate twice as much: heritability is twice this."""
FAMILY_SIZES = {1: 0.25, 2: 0.35, 3: 0.25, 4: 0.15}
MONOZYGOTIC_RATE, DIZYGOTIC_RATE = 0.25, 0.20
AGE_EFFECT, SEX_EFFECT = 0.3, 0.4
"""On one brain factor each: standard deviations per four years, and half the difference of men and women."""
HEAD_SIZE_BY_SEX, HEAD_SIZE_WITHIN = 0.57, 0.82
"""Half the difference of men and women, and the standard deviation within a sex, of a head size of variance 1."""
HEAD_SIZE_ML = (1500.0, 140.0)
"""Mean and standard deviation."""
MEN = 0.47
"""Share of men in the whole cohort."""
MEN_RANGE = 0.3
"""How far apart the strata's shares of men are, first to last: phenotypes that follow sex alone differ between strata."""


@dataclass(frozen=True)
class PhenotypeFactor:
    """A questionnaire factor: the latent brain factor it follows, and the items that measure it.

    Args:
        items: item name -> (loading, mean, standard deviation, decimals).
        brain_factor: index of the latent brain factor, or None for a negative control.
        correlation: with that brain factor.
        sex_effect: mean difference of men from women in standard deviations within a sex.
    """

    items: dict[str, tuple[float, float, float, int]]
    brain_factor: int | None = None
    correlation: float = 0.0
    sex_effect: float = 0.0


PHENOTYPE_FACTORS: dict[str, PhenotypeFactor] = {
    "aggression": PhenotypeFactor(
        {
            "ASR_Aggr_Raw": (0.85, 6.0, 4.0, 0),
            "AngAggr_Unadj": (0.75, 50.0, 9.0, 1),
            "AngHostil_Unadj": (0.70, 50.0, 9.0, 1),
            "ASR_Rule_Raw": (0.60, 3.0, 2.5, 0),
        },
        brain_factor=0,
        correlation=0.6,
    ),
    "blood_pressure": PhenotypeFactor(
        {"BPSystolic": (0.85, 123.0, 13.0, 0), "BPDiastolic": (0.80, 77.0, 10.0, 0), "HbA1C": (0.50, 5.3, 0.4, 1)},
        brain_factor=1,
        correlation=0.6,
    ),
    "crystallised_intelligence": PhenotypeFactor(
        {
            "PicVocab_Unadj": (0.85, 117.0, 10.0, 1),
            "ReadEng_Unadj": (0.85, 117.0, 10.0, 1),
            "SSAGA_Educ": (0.60, 15.0, 1.8, 0),
        },
        brain_factor=2,
        correlation=0.6,
    ),
    "fluid_intelligence": PhenotypeFactor(
        {
            "PMAT24_A_CR": (0.75, 17.0, 4.5, 0),
            "ListSort_Unadj": (0.65, 111.0, 11.0, 1),
            "CardSort_Unadj": (0.60, 115.0, 10.0, 1),
            "Flanker_Unadj": (0.55, 112.0, 10.0, 1),
        },
        brain_factor=3,
        correlation=0.6,
    ),
    "strength": PhenotypeFactor(
        {
            "Strength_Unadj": (0.85, 117.0, 20.0, 1),
            "Endurance_Unadj": (0.70, 110.0, 12.0, 1),
            "Height": (0.80, 67.0, 4.0, 0),
        },
        sex_effect=2.5,
    ),
    "well_being": PhenotypeFactor(
        {
            "LifeSatisf_Unadj": (0.80, 54.0, 9.0, 1),
            "MeanPurp_Unadj": (0.75, 52.0, 9.0, 1),
            "PosAffect_Unadj": (0.75, 50.0, 8.0, 1),
        }
    ),
    "sleep": PhenotypeFactor(
        {
            "PSQI_Score": (0.75, 5.0, 2.8, 0),
            "PainInterf_Tscore": (0.55, 46.0, 8.0, 1),
            "PercStress_Unadj": (0.65, 48.0, 9.0, 1),
        }
    ),
}


@dataclass(frozen=True)
class Population:
    """`N` participants. Every table is indexed by `participant_id`.

    Attributes:
        participants: what a researcher knows: family, zygosity, sex, age, site, head size, motion.
        phenotypes: items, with missing values.
        truth: stratum, latent factors, head size and amount of CSF (standardised), phenotype factor scores: for tests and reports only.
        loadings: item x phenotype factor.
    """

    participants: pd.DataFrame
    phenotypes: pd.DataFrame
    truth: pd.DataFrame
    loadings: pd.DataFrame


def draw_population(
    rng: np.random.Generator, n_subjects: int, n_strata: int, stratum_separation: float, missing_items: float
) -> Population:
    """Draw families, then participants, then what is measured of them.

    Args:
        rng: source of randomness; the same state gives the same participants.
        n_subjects: participants; the last family is cut to fit.
        n_strata: discrete groups, up to seven; 1 is the null: factors keep the covariance that four strata would give
            them, but are one Gaussian.
        stratum_separation: distance between any two stratum centres, in within-stratum standard deviations.
        missing_items: rate of missing phenotype values.
    """
    family = _draw_families(rng, n_subjects)
    stratum, offsets = _draw_strata(rng, len(set(family["family_id"])), n_strata, stratum_separation)
    member_of = pd.factorize(family["family_id"])[0]
    is_male = _draw_men(rng, stratum[member_of], n_strata)
    age_years = rng.uniform(22, 36, n_subjects).round(1)
    second = np.flatnonzero(family["twin_of"] >= 0)
    age_years[second] = age_years[family["twin_of"][second]]
    identical = second[family["zygosity"][second] == "MZ"]
    is_male[identical] = is_male[family["twin_of"][identical]]

    factors = offsets[member_of] + _heritable(rng, family, N_FACTORS)
    factors[:, 0] += AGE_EFFECT * (age_years - 29) / 4
    factors[:, 1] += SEX_EFFECT * (is_male - MEN) / 0.5
    factors = factors.round(DECIMALS)
    by_sex = HEAD_SIZE_BY_SEX * (is_male - MEN) / 0.5
    head_size = (by_sex + HEAD_SIZE_WITHIN * _heritable(rng, family, 1)[:, 0]).round(DECIMALS)

    index = pd.Index([f"sub-{number + 1:04d}" for number in range(n_subjects)], name="participant_id")
    participants = pd.DataFrame(
        {
            "family_id": family["family_id"],
            "zygosity": family["zygosity"],
            "sex": np.where(is_male, "M", "F"),
            "age_years": age_years,
            "site": np.where(rng.random(n_subjects) < 0.6, "A", "B"),
            "head_size_ml": (HEAD_SIZE_ML[0] + HEAD_SIZE_ML[1] * head_size).round(0),
            "motion_mm": rng.gamma(4, 0.03, n_subjects).round(3),
        },
        index=index,
    )
    scores, phenotypes, loadings = _draw_phenotypes(rng, family, factors, is_male, missing_items)
    truth = pd.DataFrame({"stratum": stratum[member_of]}, index=index)
    truth[MODALITY_LOADINGS.columns] = factors
    truth["head_size"] = head_size
    truth["csf"] = _heritable(rng, family, 1)[:, 0].round(DECIMALS)
    truth[[f"phenotype_{name}" for name in scores]] = scores.to_numpy()
    return Population(participants, phenotypes.set_index(index), truth, loadings)


def _draw_families(rng: np.random.Generator, n_subjects: int) -> dict[str, np.ndarray]:
    """Family of each participant, zygosity, and for a second twin the row of the first (-1 otherwise)."""
    family_ids: list[str] = []
    zygosity: list[str] = []
    twin_of: list[int] = []
    n_families = 0
    while len(family_ids) < n_subjects:
        n_families += 1
        size = int(rng.choice(list(FAMILY_SIZES), p=list(FAMILY_SIZES.values())))
        first = len(family_ids)
        kind = rng.choice(["MZ", "DZ", ""], p=[MONOZYGOTIC_RATE, DIZYGOTIC_RATE, 1 - MONOZYGOTIC_RATE - DIZYGOTIC_RATE])
        has_twins = size > 1 and kind != "" and first + 1 < n_subjects
        family_ids += [f"fam-{n_families:04d}"] * size
        zygosity += [str(kind) if has_twins and member < 2 else "" for member in range(size)]
        twin_of += [first if has_twins and member == 1 else -1 for member in range(size)]
    # zygosity "n/a" is the BIDS word for not applicable
    labels = np.array([label or "n/a" for label in zygosity[:n_subjects]])
    return {
        "family_id": np.array(family_ids[:n_subjects]),
        "zygosity": labels,
        "twin_of": np.array(twin_of[:n_subjects]),
    }


def _draw_strata(
    rng: np.random.Generator, n_families: int, n_strata: int, separation: float
) -> tuple[np.ndarray, np.ndarray]:
    """Stratum per family and its offset in factor space; with one stratum, Gaussian offsets of equal covariance."""
    if not 1 <= n_strata <= N_FACTORS + 1:
        raise ValueError(f"n_strata must lie between 1 and {N_FACTORS + 1}, got {n_strata}.")
    n_centres = n_strata if n_strata > 1 else 4
    directions = _orthonormal_columns(rng.standard_normal((N_FACTORS, n_centres - 1)))
    corners = _simplex_corners(n_centres) * separation / np.sqrt(2)
    centres = np.einsum("cd,fd->cf", corners, directions).round(DECIMALS)
    stratum = rng.permutation(np.arange(n_families) % n_centres)
    weights = rng.standard_normal((n_families, n_centres))
    if n_strata == 1:
        # standard normals times the centres have the covariance centres.T @ centres, without a matrix square root
        gaussian = np.einsum("nc,cf->nf", weights, centres) / np.sqrt(n_centres)
        return np.zeros(n_families, dtype=int), gaussian.round(DECIMALS)
    return stratum, centres[stratum]


def _simplex_corners(count: int) -> np.ndarray:
    """`(count, count - 1)` points, any two sqrt(2) apart and their mean 0: the Helmert basis, in closed form."""
    corners = np.zeros((count, count - 1))
    for axis in range(1, count):
        corners[:axis, axis - 1] = 1 / np.sqrt(axis * (axis + 1))
        corners[axis, axis - 1] = -axis / np.sqrt(axis * (axis + 1))
    return corners


def _orthonormal_columns(matrix: np.ndarray) -> np.ndarray:
    """Gram-Schmidt, column by column: no library's choice of signs or order of operations is in it."""
    columns: list[np.ndarray] = []
    for column in matrix.T:
        for earlier in columns:
            column = column - (column * earlier).sum() * earlier
        columns.append(column / np.sqrt((column * column).sum()))
    return np.stack(columns, axis=1)


def _draw_men(rng: np.random.Generator, stratum: np.ndarray, n_strata: int) -> np.ndarray:
    """Who is a man, `(N,)`: in each stratum its share as nearly as it goes, `MEN` if there is one stratum only."""
    chance = rng.random(len(stratum))
    is_male = np.zeros(len(stratum), dtype=bool)
    for number in range(n_strata):
        share = MEN + (MEN_RANGE * (number / (n_strata - 1) - 0.5) if n_strata > 1 else 0)
        own = np.flatnonzero(stratum == number)
        is_male[own[np.argsort(chance[own], kind="stable")[: round(share * len(own))]]] = True
    return is_male


def _heritable(rng: np.random.Generator, family: dict[str, np.ndarray], count: int) -> np.ndarray:
    """`(N, count)` unit-variance values: siblings share `SIBLING_CORRELATION`, identical twins twice as much."""
    member_of = pd.factorize(family["family_id"])[0]
    shared = rng.standard_normal((member_of.max() + 1, count))[member_of]
    own = rng.standard_normal((len(member_of), count))
    values = np.sqrt(SIBLING_CORRELATION) * shared + np.sqrt(1 - SIBLING_CORRELATION) * own
    second = np.flatnonzero((family["twin_of"] >= 0) & (family["zygosity"] == "MZ"))
    first = family["twin_of"][second]
    genetic = np.sqrt(SIBLING_CORRELATION) * shared[first] + np.sqrt(SIBLING_CORRELATION) * own[first]
    fresh = np.sqrt(1 - 2 * SIBLING_CORRELATION) * rng.standard_normal((len(second), count))
    # both twins get the same genetic part and a part of their own
    values[first] = genetic + np.sqrt(1 - 2 * SIBLING_CORRELATION) * rng.standard_normal((len(first), count))
    values[second] = genetic + fresh
    return values


def _draw_phenotypes(
    rng: np.random.Generator,
    family: dict[str, np.ndarray],
    factors: np.ndarray,
    is_male: np.ndarray,
    missing_rate: float,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    scores, items, loadings = {}, {}, {}
    standardised = (factors - factors.mean(0)) / factors.std(0)
    for name, factor in PHENOTYPE_FACTORS.items():
        score = _heritable(rng, family, 1)[:, 0]
        if factor.brain_factor is not None:
            r = factor.correlation
            score = r * standardised[:, factor.brain_factor] + np.sqrt(1 - r**2) * score
        by_sex = factor.sex_effect * (is_male - MEN)
        scores[name] = ((score + by_sex) / np.sqrt(1 + (factor.sex_effect / 2) ** 2)).round(DECIMALS)
        for item, (loading, mean, deviation, decimals) in factor.items.items():
            noise = np.sqrt(1 - loading**2) * rng.standard_normal(len(factors))
            values = mean + deviation * (loading * scores[name] + noise)
            items[item] = np.maximum(values, 0).round(decimals)
            items[item][rng.random(len(factors)) < missing_rate] = np.nan
            loadings[item] = {name: loading}
    table = pd.DataFrame(loadings).T.reindex(columns=list(PHENOTYPE_FACTORS)).fillna(0.0)
    table.index.name = "item"
    return pd.DataFrame(scores), pd.DataFrame(items), table
