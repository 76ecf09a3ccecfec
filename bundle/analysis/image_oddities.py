"""Which images of a cohort are odd, and what is probably wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bundle.analysis.image_measures import CohortMeasures, ImageMeasures, compare_images, robust_z
from bundle.analysis.shown_modality import CLEARLY, shown_instead

FRACTIONS = ("FA", "NDI", "ODI", "FWF")
"""Maps whose values lie in [0, 1]."""
LEAST_SPREADS = {"mean": 0.02, "spread": 0.02, "correlation": 0.005, "overlap": 0.005, "outside_unit": 0.001, "negative": 0.0002}  # fmt: skip
"""Smaller spreads over a cohort count as this much; of mean and spread, relative to the cohort's median."""
SIDED = {"correlation": -1, "overlap": -1, "outside_unit": 1, "negative": 1}
"""Measures of which one direction alone is odd."""
FEW = 12
"""Images below which nothing is said about outliers."""
SEVERAL = 0.05
ASYMMETRIC = 0.1
"""The cohort's median asymmetry below which a mirrored image cannot be told."""
FEW_MIRRORED = 0.25
"""Share of mirrored images above which the cohort has no side of its own to tell one by."""


@dataclass(frozen=True)
class Oddity:
    """Something about one image.

    Args:
        row: of the image.
        is_wrong: whether it must be fixed; otherwise it is worth a look.
        reason: what was expected and what came.
        how_to_mend: what to do.
    """

    row: int
    is_wrong: bool
    reason: str
    how_to_mend: str


def measure_cohort(
    modality: str, images: Sequence[ImageMeasures], jacobian: str = ""
) -> tuple[pd.DataFrame, CohortMeasures]:
    """Measures of the images of one map with their robust z (columns `z_...`), and how odd each is (`oddness`).

    Args:
        modality: its name; values outside [0, 1] count for fractions only.
        images: of the map.
        jacobian: `raw` or `log`, for Jacobians; values below 0 do not count for `log`.
    """
    compared = compare_images(np.stack([i.small for i in images]), np.stack([i.small_mask for i in images]))
    table = pd.DataFrame(
        {
            name: [getattr(image, name) for image in images]
            for name in ("mean", "spread", "top", "negative", "outside_unit")
        }
    )
    if modality not in FRACTIONS:
        table["outside_unit"] = 0.0
    table["correlation"], table["overlap"] = compared.correlation, compared.overlap
    table["asymmetry"], table["mirrored"] = compared.asymmetry, compared.mirrored
    for name, least in LEAST_SPREADS.items():
        values = table[name].to_numpy()
        unit = float(np.abs(np.median(values))) if name in ("mean", "spread") else 1.0
        counts = len(table) >= FEW and not (name == "negative" and jacobian == "log")
        table[f"z_{name}"] = robust_z(values, max(least * unit, 1e-12)) if counts else 0.0
    scored = [SIDED[name] * table[f"z_{name}"] if name in SIDED else table[f"z_{name}"].abs() for name in LEAST_SPREADS]
    table["oddness"] = np.clip(np.max(scored, axis=0), 0, None)
    return table, compared


def find_oddities(
    images: Mapping[str, Sequence[ImageMeasures]],
    tables: Mapping[str, pd.DataFrame],
    compared: Mapping[str, CohortMeasures],
    jacobians: Mapping[str, str],
    outlier_limit: float,
) -> dict[str, list[Oddity]]:
    """Modality -> what is odd about its images.

    Args:
        images: modality -> its images.
        tables, compared: of `measure_cohort`, for each modality; `compared` may have more, which images might show.
        jacobians: modality -> `raw` or `log`, for Jacobians.
        outlier_limit: robust standard deviations from which an image is worth a look.
    """
    found: dict[str, list[Oddity]] = {}
    for modality, table in tables.items():
        wrong = swapped(modality, images[modality], table, compared)
        named = {oddity.row for oddity in wrong}
        ranges = out_of_range(modality, table, jacobians.get(modality) or _jacobian(modality, table))
        wrong += [oddity for oddity in ranges if oddity.row not in named]
        named = {oddity.row for oddity in wrong if oddity.is_wrong}
        wrong += [oddity for oddity in mirrored(table) if oddity.row not in named]
        named = {oddity.row for oddity in wrong if oddity.is_wrong}
        found[modality] = wrong + [oddity for oddity in outliers(table, outlier_limit) if oddity.row not in named]
    return found


def _jacobian(modality: str, table: pd.DataFrame) -> str:
    """What Jacobians seem to be where no participant says: a raw one is hardly ever below 0, the logarithm often."""
    if modality != "JAC":
        return ""
    return "raw" if float(table["negative"].median()) < SEVERAL else "log"


def swapped(
    modality: str, images: Sequence[ImageMeasures], table: pd.DataFrame, compared: Mapping[str, CohortMeasures]
) -> list[Oddity]:
    """Images that show another modality, or have values far from the cohort's."""
    found = []
    centres = {name: other.detail for name, other in compared.items() if len(other.correlation) >= FEW}
    small = np.stack([image.small for image in images])
    shown = shown_instead(modality, small, centres) if modality in centres else [""] * len(images)
    usual = float(table["top"].median())
    for row, other in enumerate(shown):
        top = float(table["top"].iloc[row])
        is_other_range = min(top, usual) > 0 and not 0.1 < top / usual < 10
        if other:
            reason = (
                f"looks like {other}: its fine detail is nearer to that of most files of {other} than of {modality}"
            )
        elif is_other_range:
            reason = f"values reach {top:.3g}, in most files of {modality} {usual:.3g}: another map, or other units"
        else:
            continue
        found.append(
            Oddity(row, True, reason, f"give the participant's {modality}; the file may be another map under its name")
        )
    return found


def out_of_range(modality: str, table: pd.DataFrame, jacobian: str) -> list[Oddity]:
    """Fractions outside [0, 1], Jacobians that fold space or are not what the layout says."""
    found = []
    for row, values in enumerate(table.to_dict("records")):
        if modality in FRACTIONS and values["outside_unit"] > 0.001:
            is_wrong = values["outside_unit"] > SEVERAL
            reason = f"{values['outside_unit']:.1%} of its voxels are outside [0, 1] (values reach {values['top']:.3g})"
            mend = (
                f"{modality} is a fraction: give that map, or divide by its scale" if is_wrong else "look at its edges"
            )
            found.append(Oddity(row, is_wrong, reason, mend))
        if jacobian == "raw" and values["negative"] > SEVERAL:
            reason = f"{values['negative']:.0%} of its voxels are below 0, which raw Jacobians hardly ever are"
            found.append(
                Oddity(row, True, reason, "is it a log Jacobian? Say kind: log in the layout, or give the raw one")
            )
        elif jacobian == "raw" and values["negative"] > 0:
            reason = f"{values['negative']:.2%} of its voxels have a negative Jacobian: the warp folds there"
            found.append(
                Oddity(row, False, reason, "look at the registration; such voxels are set to the least Jacobian")
            )
        if jacobian == "log" and values["negative"] == 0:
            reason = "no voxel is below 0, though shrinking parts of a log Jacobian are"
            found.append(Oddity(row, True, reason, "is it a raw Jacobian? Say kind: raw in the layout"))
    return found


def mirrored(table: pd.DataFrame) -> list[Oddity]:
    """Images whose left and right are exchanged, as far as the cohort is asymmetric enough to tell."""
    asymmetry = table["asymmetry"].to_numpy()
    usual = float(np.median(asymmetry))
    # how far all participants' asymmetry, the same sign for all, is from none: in a symmetric cohort the sign is chance
    certainty = -robust_z(np.append(asymmetry, 0.0), 0.02)[-1]
    is_other = asymmetry < -usual / 2
    if len(table) < FEW or usual < ASYMMETRIC or certainty < CLEARLY or np.mean(is_other) > FEW_MIRRORED:
        return []
    return [
        Oddity(
            row,
            True,
            f"left and right seem exchanged: it fits the cohort better mirrored (correlation {values['mirrored']:.3f}, as it "
            f"is {values['correlation']:.3f}; left minus right {values['asymmetry']:.2f}, usually {usual:.2f})",
            "look at the sign of its affine's first axis, and convert the scan again",
        )
        for row, values in enumerate(table.to_dict("records"))
        if is_other[row] and values["mirrored"] > values["correlation"]
    ]


def outliers(table: pd.DataFrame, limit: float) -> list[Oddity]:
    """Images that lie far from the cohort in some measure."""
    words = {"mean": "mean value", "spread": "spread of values", "correlation": "likeness to the median image", "overlap": "overlap of masks", "outside_unit": "share outside [0, 1]", "negative": "share below 0"}  # fmt: skip
    found = []
    for row, values in enumerate(table.to_dict("records")):
        odd = [
            f"{words[name]} {values[name]:.3g}, usually {table[name].median():.3g} (z = {values[f'z_{name}']:.0f})"
            for name in LEAST_SPREADS
            if values[f"z_{name}"] * SIDED.get(name, np.sign(values[f"z_{name}"])) > limit
        ]
        if odd:
            found.append(
                Oddity(row, False, "; ".join(odd), "look at it; exclude the participant by name if it is not usable")
            )
    return found
