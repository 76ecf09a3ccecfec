"""How reliably the check names an image that lies under another modality's name, and how often it is wrong to say so.

    python benchmarks/swapped_images.py                                                  # synthetic cohorts
    python benchmarks/swapped_images.py --folder COHORT --modalities T1w JAC GM WM       # a cohort folder

One image of one participant at a time is replaced by the same participant's image of another modality. `named`: the check
says which modality it is; `refused`: it must be fixed, whatever the reason. False alarms are images of the cohort as it is
that must be fixed.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from itertools import permutations

import numpy as np
import pandas as pd

from bundle.analysis.image_measures import ImageMeasures, measure_image
from bundle.analysis.image_oddities import Oddity, find_oddities, measure_cohort
from bundle.data.cohort_settings import CohortSettings
from bundle.data.cohort_source import CohortSource
from bundle.data.synthetic import SyntheticCohort
from bundle.stages.check import look_at

Cohort = dict[str, dict[str, ImageMeasures]]
"""Modality -> participant -> measures."""


def synthetic(seed: int, people: int, spacing: float, missing: float, site_effect: float) -> Cohort:
    settings = CohortSettings(people, spacing, seed, missing_modalities=missing, site_effect=site_effect)
    drawn, cohort = SyntheticCohort(settings), {}
    for number in range(people):
        for modality, voxels in drawn.draw_subject(number).images.items():
            cohort.setdefault(modality, {})[f"sub-{number + 1:04d}"] = measure_image(voxels)
    return cohort


def of_folder(folder: str, modalities: list[str]) -> Cohort:
    source = CohortSource(folder, images={m: "{participant_id}/{participant_id}_" + m + ".nii.gz" for m in modalities}, incomplete="keep")  # fmt: skip
    look = look_at(source, modalities, (), True, "full", 6.0, 2, False)
    cohort: Cohort = {}
    for row, image in zip(look.people.to_dict("records"), look.images, strict=True):
        cohort.setdefault(row["modality"], {})[row["participant_id"]] = image
    return cohort


class Check:
    """Measures of a cohort as it is, so that each swap needs those of one modality only."""

    def __init__(self, cohort: Cohort) -> None:
        self.cohort = cohort
        measured = {modality: measure_cohort(modality, list(images.values())) for modality, images in cohort.items()}
        self.compared = {modality: compared for modality, (_, compared) in measured.items()}

    def wrong(self, modality: str, images: dict[str, ImageMeasures]) -> dict[str, Oddity]:
        """Participant -> what must be fixed, if these are the images of a modality."""
        table, compared = measure_cohort(modality, list(images.values()))
        found = find_oddities(
            {modality: list(images.values())}, {modality: table}, {**self.compared, modality: compared}, {}, 6.0
        )
        return {list(images)[oddity.row]: oddity for oddity in found[modality] if oddity.is_wrong}

    def false_alarms(self) -> int:
        return sum(len(self.wrong(modality, images)) for modality, images in self.cohort.items())

    def swap(self, modality: str, other: str, participant: str) -> tuple[bool, bool]:
        """Whether the participant's image of another modality, under this one's name, is named and refused."""
        images = {**self.cohort[modality], participant: self.cohort[other][participant]}
        oddity = self.wrong(modality, images).get(participant)
        return oddity is not None and oddity.reason.startswith(f"looks like {other}:"), oddity is not None


def rates(cohorts: Iterable[Cohort], swaps: int) -> None:
    """Print them; `swaps` of each ordered pair in each cohort, of participants taken at random."""
    counts: dict[tuple[str, str], Counter] = {}
    images = alarms = 0
    rng = np.random.default_rng(0)
    for cohort in cohorts:
        check = Check(cohort)
        images += sum(len(of_modality) for of_modality in cohort.values())
        alarms += check.false_alarms()
        for modality, other in permutations(sorted(cohort), 2):
            both = sorted(cohort[modality].keys() & cohort[other].keys())
            for participant in rng.choice(both, min(swaps, len(both)), replace=False):
                named, refused = check.swap(modality, other, participant)
                counts.setdefault((other, modality), Counter()).update(tried=1, named=named, refused=refused)
    pairs = [f"{other} in place of {modality}" for other, modality in counts]
    print(pd.DataFrame(counts.values(), index=pairs)[["tried", "named", "refused"]].to_string())
    total = sum(counts.values(), Counter())
    print(f"in all: {total['named'] / total['tried']:.1%} of {total['tried']} named, {total['refused'] / total['tried']:.1%} refused; {alarms} false alarms in {images} images")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--people", type=int, default=24)
    parser.add_argument("--spacing", type=float, default=6.0)
    parser.add_argument("--missing", type=float, default=0.0, help="rate of missing images")
    parser.add_argument("--site_effect", type=float, default=0.0)
    parser.add_argument("--swaps", type=int, default=4, help="of each ordered pair in each cohort")
    parser.add_argument("--folder", help="a cohort folder instead")
    parser.add_argument("--modalities", nargs="+", default=["T1w", "FA", "NDI", "JAC"])
    options = parser.parse_args()
    if options.folder:
        rates([of_folder(options.folder, options.modalities)], options.swaps)
        return
    made = (options.people, options.spacing, options.missing, options.site_effect)
    rates((synthetic(seed, *made) for seed in range(options.seeds)), options.swaps)


if __name__ == "__main__":
    main()
