"""Look at all that a cohort consists of, before a night is spent on it: one table, one page."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from bundle.analysis.image_measures import CohortMeasures, ImageMeasures, measure_image
from bundle.analysis.image_oddities import find_oddities, measure_cohort
from bundle.data.atomic import write_text
from bundle.data.check import ImageFacts, hashes_of_likely_copies, inspect_image
from bundle.data.cohort_source import CohortSource, FoundCohort
from bundle.data.findings import LOOK, MEND, SOUND, Finding, Job, findings_table
from bundle.data.headers import compare_grids, inspect_header, stored_otherwise
from bundle.data.leakage import same_images, shared_files
from bundle.data.problems import InputProblems
from bundle.data.tables import write_table
from bundle.mapping.derivation import check_libraries, inspect_derivation
from bundle.paths import CHECKED, stage_folder
from bundle.report.check_page import render_check

logger = logging.getLogger(__name__)
VOXELS = ("full", "headers")
TABLE, MEASURES, PAGE, FLOW = "check.tsv", "measures.tsv", "check.html", "flow.tsv"


@dataclass(frozen=True)
class Look:
    """What was seen of a cohort.

    Attributes:
        found: the cohort.
        findings: all lines, those of `found` too.
        people: rows of `measures.tsv`: participant_id, modality, measures.
        images: of the same rows.
        compared: modality -> its images, compared with each other.
    """

    found: FoundCohort
    findings: list[Finding]
    people: pd.DataFrame
    images: list[ImageMeasures]
    compared: dict[str, CohortMeasures]

    @property
    def to_mend(self) -> list[str]:
        """A sentence for each thing that must be fixed."""
        return [finding.sentence for finding in self.findings if finding.status == MEND]


def check(
    output_dir: str,
    cohort: CohortSource,
    modalities: Sequence[str],
    spatial_size: Sequence[int],
    resample: bool = False,
    voxels: str = "full",
    outlier_limit: float = 6.0,
    most_people: int = 200,
    num_workers: int = 2,
    progress: bool = True,
) -> Look:
    """Check a cohort and write `0_checked/`: `check.tsv`, `measures.tsv`, `flow.tsv`, `check.html`.

    Args:
        output_dir: results folder.
        cohort: where everything is.
        modalities: maps to look at.
        spatial_size: the network's grid.
        resample: whether images will be resampled to one grid, so that each map may have its own until then.
        voxels: `full` reads everything, `headers` only headers.
        outlier_limit: robust standard deviations from which an image is worth a look.
        most_people: shown on the page, the oddest first.
        num_workers: threads.
        progress: show bars.

    Raises:
        InputProblems: for wrong settings, and at the end with everything that must be fixed.
    """
    look = look_at(cohort, modalities, spatial_size, resample, voxels, outlier_limit, num_workers, progress)
    folder = stage_folder(output_dir, CHECKED)
    write_look(folder, look, most_people, outlier_limit)
    logger.info("%s", closing_words(folder, look))
    if look.to_mend:
        raise InputProblems(f"Check (all of it: {folder / PAGE})", look.to_mend)
    return look


def look_at(
    cohort: CohortSource,
    modalities: Sequence[str],
    spatial_size: Sequence[int],
    resample: bool,
    voxels: str,
    outlier_limit: float,
    num_workers: int,
    progress: bool,
) -> Look:
    """As `check`, without writing anything."""
    if voxels not in VOXELS:
        raise InputProblems("Check", [f"--voxels must be one of {', '.join(VOXELS)}, got {voxels!r}."])
    found = cohort.find(modalities)
    check_libraries(found.derivations.values())
    jobs = [(item["participant_id"], m, item[m]) for item in found.items for m in modalities if m in item]

    def inspect(job: Job) -> ImageFacts:
        return _inspect_all(job, found.masks.get(job[:2])) if voxels == "full" else inspect_header(job)

    facts = _in_parallel(inspect, jobs, voxels, num_workers, progress)
    derived = [(*who, str(derivation.main)) for who, derivation in found.derivations.items()]
    derived_facts = [inspect_derivation(*who, derivation) for who, derivation in found.derivations.items()]
    everything, all_facts = [*jobs, *derived], [*facts, *derived_facts]
    findings = [*found.findings, *(fact.problem for fact in all_facts if fact.problem)]
    findings += compare_grids(everything, all_facts, None if resample else spatial_size)
    findings += [*stored_otherwise(jobs, facts), *shared_files(found.items, modalities)]
    kinds = {modality: kind.kind for modality, kind in found.jacobians.items()}
    people, images, compared, odd = _compare(jobs, facts, kinds, outlier_limit)
    findings += odd
    known = {finding.file for finding in findings if finding.status == MEND}  # which of two is wrong
    hashes = {path: value for path, value in hashes_of_likely_copies(jobs, facts).items() if path not in known}
    findings += same_images(found.items, modalities, hashes)
    named = {(finding.participant_id, finding.modality) for finding in findings}
    findings += [Finding(*job[:2], SOUND, "", "", job[2]) for job in jobs if job[:2] not in named]
    findings += [Finding(*job[:2], SOUND, "preparing derives it of this file", "", job[2]) for job in derived if job[:2] not in named]  # fmt: skip
    return Look(found, findings, people, images, compared)


def check_made(
    output_dir: str,
    look: Look,
    made: Sequence[Job],
    beside: Sequence[Job],
    outlier_limit: float,
    most_people: int,
    num_workers: int,
    progress: bool,
) -> None:
    """Look at maps that were derived as at the others, and write `0_checked/` again with what is found.

    Args:
        output_dir: results folder.
        look: before they were made.
        made: derived maps; Jacobians are logarithms.
        beside: files of participants whose map of the same modality is the source's own, as training will read them.
        outlier_limit, most_people, num_workers, progress: see `check`.

    Raises:
        InputProblems: for each that is empty, holds no numbers, is out of range or looks like another map.
    """
    if not made:
        return
    jobs, new = [*made, *beside], {job[:2] for job in made}
    facts = _in_parallel(_inspect_all, jobs, "derived", num_workers, progress)
    kinds = dict.fromkeys(look.found.jacobians, "log")
    people, images, compared, odd = _compare(jobs, facts, kinds, outlier_limit, look.compared)
    findings = [fact.problem for fact in facts if fact.problem]
    findings = [finding for finding in (*findings, *odd) if (finding.participant_id, finding.modality) in new]
    named = {(finding.participant_id, finding.modality) for finding in findings}
    kept = [f for f in look.findings if f.status != SOUND or (f.participant_id, f.modality) not in named]
    shared = set(compared)  # these modalities are measured anew, all participants'
    rest = [row for row, modality in enumerate(look.people["modality"]) if modality not in shared]
    whole = pd.concat([part for part in (look.people.iloc[rest], people) if len(part)], ignore_index=True)
    all_images = [*(look.images[row] for row in rest), *images]
    after = Look(look.found, [*kept, *findings], whole, all_images, look.compared | compared)
    folder = stage_folder(output_dir, CHECKED)
    write_look(folder, after, most_people, outlier_limit)
    odd_ones = [finding.sentence for finding in findings if finding.status == LOOK]
    logger.info("%s", "\n".join([f"{len(made)} derived maps were looked at, {len(odd_ones)} are odd.", *odd_ones[:10]]))
    wrong = [finding.sentence for finding in findings if finding.status == MEND]
    if wrong:
        raise InputProblems(f"Derived maps (all of it: {folder / PAGE})", wrong)


def _in_parallel(
    inspect: Callable[[Job], ImageFacts], jobs: Sequence[Job], voxels: str, num_workers: int, progress: bool
) -> list[ImageFacts]:
    words = {"headers": "Reading headers", "derived": "Checking what was made"}.get(voxels, "Checking images")
    with ThreadPoolExecutor(max(1, num_workers)) as pool:  # decompression runs outside Python's lock
        bar = tqdm(pool.map(inspect, jobs), total=len(jobs), desc=words, unit="file", disable=not progress)
        return list(bar)


def _inspect_all(job: Job, mask: Path | None = None) -> ImageFacts:
    return inspect_image(job, lambda voxels, affine: measure_image(_canonical(voxels, affine)), mask)


def _canonical(voxels: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return nib.apply_orientation(voxels, nib.io_orientation(affine))


def _compare(
    jobs: Sequence[Job],
    facts: Sequence[ImageFacts],
    kinds: dict[str, str],
    outlier_limit: float,
    known: Mapping[str, CohortMeasures] | None = None,
) -> tuple[pd.DataFrame, list[ImageMeasures], dict[str, CohortMeasures], list[Finding]]:
    """Measures of all participants' images, and what is odd about them; nothing if only headers were read.

    `known` are modalities that an image might show though none of these files has their name.
    """
    rows: dict[str, list[int]] = {}
    for number, fact in enumerate(facts):
        if fact.seen is not None:
            rows.setdefault(jobs[number][1], []).append(number)
    images = {modality: [facts[number].seen for number in numbers] for modality, numbers in rows.items()}
    tables, compared = {}, {}
    for modality in images:
        tables[modality], compared[modality] = measure_cohort(modality, images[modality], kinds.get(modality, ""))
    findings = []
    for modality, oddities in find_oddities(
        images, tables, {**(known or {}), **compared}, kinds, outlier_limit
    ).items():
        for oddity in oddities:
            name, _, file = jobs[rows[modality][oddity.row]]
            tables[modality].loc[oddity.row, "oddness"] += 1000 * oddity.is_wrong
            findings.append(Finding(name, modality, MEND if oddity.is_wrong else LOOK, oddity.reason, oddity.how_to_mend, file))  # fmt: skip
    people = [
        table.assign(participant_id=[jobs[number][0] for number in rows[m]], modality=m) for m, table in tables.items()
    ]
    whole = pd.concat(people, ignore_index=True) if people else pd.DataFrame(columns=["participant_id", "modality", "oddness"])  # fmt: skip
    return whole, [image for modality in images for image in images[modality]], compared, findings


def write_look(folder: Path, look: Look, most_people: int, outlier_limit: float) -> None:
    """The tables and the page; the page last."""
    columns = [
        "participant_id",
        "modality",
        *[name for name in look.people if name not in ("participant_id", "modality")],
    ]
    tables = {
        TABLE: findings_table(look.findings),
        MEASURES: look.people[columns],
        FLOW: pd.DataFrame(look.found.flow, columns=["step", "people", "reason"]),
    }
    for name, table in tables.items():
        write_table(table, folder / name)
    page = render_check(look.findings, look.found.flow, look.people, look.images, most_people, outlier_limit)
    write_text(page, folder / PAGE)


def closing_words(folder: Path, look: Look) -> str:
    """What was found and where it is written."""
    counts = pd.Series([finding.status for finding in look.findings], dtype=str).value_counts()
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"{len(look.found.items)} participants: {told}. Written: {folder / PAGE} and {folder / TABLE}"
