"""A source of any layout becomes one datalist with its tables, which every later stage reads."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import yaml
from tqdm.auto import tqdm

from bundle.data.atomic import atomic_path, write_text
from bundle.data.cohort_source import CohortSource, FoundCohort
from bundle.data.datalist import Item, datalist_to_json
from bundle.data.derivations import Derivation
from bundle.data.derived_images import Grid, Recipe, make_image, what_was_done
from bundle.data.families import FAMILY_SIZE, alone
from bundle.data.family_split import split_by_family
from bundle.data.findings import Job
from bundle.data.json_files import write_json
from bundle.data.layouts import JacobianKind
from bundle.data.problems import InputProblems
from bundle.data.resampling import common_grid
from bundle.data.source_columns import participants_of, phenotypes_of
from bundle.data.source_families import joined_families
from bundle.mapping.derivation import derive
from bundle.paths import (
    DATALIST,
    GATHERED,
    PARTICIPANTS,
    PHENOTYPES,
    PREPARATION,
    RESTRICTED,
    shown_command,
    stage_folder,
)
from bundle.stages.check import check, check_made

logger = logging.getLogger(__name__)
KEEP_RESTRICTED = ("leave_out", "local")
ITEMS = "items.yaml"
DERIVED = "derived"


def gather(
    output_dir: str,
    cohort: CohortSource,
    modalities: Sequence[str],
    spatial_size: Sequence[int],
    resample: bool = False,
    spacing_mm: float = 3.0,
    restricted: str = "leave_out",
    phenotype_columns: Sequence[str] | None = None,
    validation_fraction: float = 0.15,
    test_fraction: float = 0.15,
    seed: int = 0,
    voxels: str = "full",
    outlier_limit: float = 6.0,
    most_people: int = 200,
    num_workers: int = 2,
    progress: bool = True,
) -> Path:
    """Check a source, bring its images to one definition and grid, write `0_cohort/`; the datalist comes last.

    Args:
        output_dir: results folder; `0_checked/` is written first.
        cohort: where everything is.
        modalities: maps to use.
        spatial_size: the network's grid.
        resample: bring all images to a grid of that size and `spacing_mm`; they must be in one template space already.
        spacing_mm: of that grid.
        restricted: `leave_out` writes restricted columns nowhere; `local` writes them to `0_cohort/restricted/`, from where
            later stages take them. Families are running numbers either way.
        phenotype_columns: for `phenotypes.tsv`, with `*`; None takes those of the layout.
        validation_fraction, test_fraction: shares of participants, by whole families.
        seed: of the split.
        voxels, outlier_limit, most_people: of the check.
        num_workers: threads.
        progress: show bars.

    Returns:
        The datalist.

    Raises:
        InputProblems: with all that must be fixed first.
    """
    if restricted not in KEEP_RESTRICTED:
        raise InputProblems("Preparation", [f"--restricted must be one of {', '.join(KEEP_RESTRICTED)}, got {restricted!r}."])  # fmt: skip
    if cohort.folder.is_file():
        raise InputProblems("Preparation", [f"{cohort.folder} is a datalist already: give it to training by --dataset_dir."])  # fmt: skip
    grid = (tuple(spatial_size), common_grid(spatial_size, spacing_mm)) if resample else None
    look = check(output_dir, cohort, modalities, spatial_size, resample, voxels, outlier_limit, most_people, num_workers, progress)  # fmt: skip
    found = look.found
    folder = stage_folder(output_dir, GATHERED)
    recipes = plan(found, modalities, folder / DERIVED, grid)
    clipped = _make(recipes, num_workers, progress)
    made, beside = _derived(recipes)
    check_made(output_dir, look, made, beside, outlier_limit, most_people, num_workers, progress)
    tables, said = _write_tables(folder, cohort, found, restricted, phenotype_columns, seed)
    sections = split_by_family(
        _with_files(found.items, recipes, tables, folder), validation_fraction, test_fraction, seed
    )
    notes = what_was_done({m: list(own.values()) for m, own in recipes.items()}, clipped) + _notes(
        cohort, found, restricted
    )
    notes += [*said, _families(sections)]
    facts = {
        "layout": cohort.layout.name,
        "source": str(cohort.folder),
        "space": found.items[0]["space"],
        "modalities": list(modalities),
    }
    write_json(facts | {"notes": notes, "flow": found.flow, "restricted": restricted}, folder / PREPARATION)
    write_text(datalist_to_json(sections, **facts), folder / DATALIST)
    if found.tables.restricted:  # names as well are for this terminal only
        logger.info("Restricted columns (--restricted %s): %s", restricted, ", ".join(sorted(found.tables.restricted)))
    counts = ", ".join(f"{len(items)} {name}" for name, items in sections.items())
    logger.info(
        "%s", "\n".join([f"{len(found.items)} participants of {cohort.layout.name}: {counts}.", *notes, _next(folder)])
    )
    return folder / DATALIST


def plan(
    found: FoundCohort, modalities: Sequence[str], folder: Path, grid: Grid | None
) -> dict[str, dict[str, Recipe]]:
    """How each image is made; modality -> participant who has it -> recipe.

    Raises:
        InputProblems: for participants without the matrix that takes the affine part out.
    """
    recipes: dict[str, dict[str, Recipe]] = {}
    problems = []
    for modality in modalities:
        recipes[modality] = {}
        for item in found.items:
            name = item["participant_id"]
            derivation = found.derivations.get((name, modality))
            if modality not in item and derivation is None:
                continue
            jacobian = found.jacobians.get(modality)
            if derivation is not None and derivation.image is None:
                jacobian = JacobianKind("raw", "excluded")
            matrix = found.matrices.get((name, modality)) if jacobian and jacobian.affine == "included" else None
            mask = found.masks.get((name, modality))
            if jacobian and jacobian.affine == "included" and matrix is None:
                problems.append(f"{name}, {modality}: no matrix to take the affine part out by: expected {', '.join(jacobian.matrix)}.")  # fmt: skip
            target = folder / name / f"{name}_{modality}.nii.gz"
            recipes[modality][name] = Recipe(derivation or Path(item[modality]), target, mask, jacobian, matrix, grid)
    if problems:
        raise InputProblems("Preparation", problems)
    return recipes


def _make(recipes: Mapping[str, Mapping[str, Recipe]], num_workers: int, progress: bool) -> dict[str, int]:
    """Make what must be made; modality -> voxels of Jacobians that were clipped.

    Raises:
        InputProblems: at the end, with all participants whose images could not be made.
    """
    jobs = [(m, name, recipe) for m, own in recipes.items() for name, recipe in own.items() if not recipe.changes_nothing]  # fmt: skip
    clipped: dict[str, int] = {}
    problems: list[str] = []

    def try_to(job: tuple[str, str, Recipe]) -> int:
        modality, name, recipe = job
        try:
            return make_image(recipe, derive)
        except InputProblems as error:
            problems.extend(f"{name}, {modality}: {problem}" for problem in error.problems)
            return 0

    with ThreadPoolExecutor(max(1, num_workers)) as pool:  # reading, filtering and writing run outside Python's lock
        made = pool.map(try_to, jobs)
        bar = tqdm(made, total=len(jobs), desc="Making images", unit="file", disable=not progress or not jobs)
        for (modality, *_), count in zip(jobs, bar, strict=True):
            clipped[modality] = clipped.get(modality, 0) + count
    if problems:
        raise InputProblems("Preparation", sorted(problems))
    return clipped


def _derived(recipes: Mapping[str, Mapping[str, Recipe]]) -> tuple[list[Job], list[Job]]:
    """Maps that were derived, and the others' of the same modalities, as training will read them."""
    made: list[Job] = []
    beside: list[Job] = []
    for modality, own in recipes.items():
        if any(isinstance(recipe.source, Derivation) for recipe in own.values()):
            for name, recipe in own.items():
                file = recipe.source if recipe.changes_nothing else recipe.target
                (made if isinstance(recipe.source, Derivation) else beside).append((name, modality, str(file)))
    return made, beside


def _with_files(
    items: Sequence[Item], recipes: Mapping[str, Mapping[str, Recipe]], participants: pd.DataFrame, folder: Path
) -> list[Item]:
    """Participants with the files that later stages read, and their families; what was made is relative to the datalist."""
    families = participants["family_id"]
    sizes = participants.get(FAMILY_SIZE)
    people = []
    for item in items:
        name = item["participant_id"]
        own = {m: of[name] for m, of in recipes.items() if name in of}
        files = {m: item[m] if recipe.changes_nothing else str(recipe.target.relative_to(folder)) for m, recipe in own.items()}  # fmt: skip
        family = alone(name) if pd.isna(families[name]) else str(families[name])
        confirmed = {FAMILY_SIZE: str(sizes[name])} if FAMILY_SIZE in participants and not pd.isna(sizes[name]) else {}
        people.append({**item, "family_id": family, **confirmed, **files})
    return people


def _write_tables(
    folder: Path,
    cohort: CohortSource,
    found: FoundCohort,
    restricted: str,
    wanted: Sequence[str] | None,
    seed: int,
) -> tuple[pd.DataFrame, list[str]]:
    """Write `participants.tsv`, `phenotypes.tsv` and `items.yaml`; with `local` also a folder with restricted columns.

    Returns:
        The participants, and sentences on what became of cells and families.
    """
    sessions = {item["participant_id"]: item.get("session", "") for item in found.items}
    shutil.rmtree(folder / RESTRICTED, ignore_errors=True)  # of an earlier run that kept them
    folder.mkdir(parents=True, exist_ok=True)
    targets = [(folder, False)]
    notes = joined_families(found.tables, cohort.layout, list(sessions))[1]
    if restricted == "local" and found.tables.restricted:
        (folder / RESTRICTED).mkdir(mode=0o700)
        (folder / RESTRICTED / ".gitignore").write_text("*\n")
        targets.append((folder / RESTRICTED, True))
    for target, with_restricted in targets:
        participants = participants_of(found.tables, cohort.layout, sessions, seed, with_restricted)
        if "family_id" not in participants:
            participants.insert(0, "family_id", pd.NA)
        phenotypes, said = phenotypes_of(found.tables, cohort.layout, list(sessions), wanted, with_restricted)
        notes += [] if with_restricted else said
        for name, table in ((PARTICIPANTS, participants), (PHENOTYPES, phenotypes)):
            if len(table.columns):
                with atomic_path(target / name) as temporary:
                    table.to_csv(temporary, sep="\t", na_rep="n/a")
            else:
                (target / name).unlink(missing_ok=True)
        entries = {column: {"label": str(column)} for column in phenotypes}
        write_text(yaml.safe_dump(entries, sort_keys=False, allow_unicode=True), target / ITEMS)
    return participants, notes


def _notes(cohort: CohortSource, found: FoundCohort, restricted: str) -> list[str]:
    """What was decided, for participants."""
    notes = []
    sessions = {item["session"] for item in found.items if "session" in item}
    if sessions:
        rule = f", by the rule {cohort.session}" if cohort.session else ""
        notes.append(f"One session of each participant was taken{rule}: {', '.join(sorted(sessions))}.")
    notes += found.tables.decoded
    if found.tables.restricted:
        where = "are kept apart in restricted/" if restricted == "local" else "were written nowhere"
        notes.append(f"{len(found.tables.restricted)} restricted columns {where}; families are running numbers.")
    return notes


def _families(sections: Mapping[str, Sequence[Item]]) -> str:
    """How many families there are: none at all, where there should be some, is told by nothing else."""
    sizes = Counter(item["family_id"] for items in sections.values() for item in items).values()
    several = [size for size in sizes if size > 1]
    largest = f" (the largest of {max(several)})" if several else ""
    return f"{len(several)} families of two or more{largest}, {len(sizes) - len(several)} participants alone."


def _next(folder: Path) -> str:
    return (
        f"Written: {folder / DATALIST}\nNext: {shown_command('training', 'train.yaml')} "
        f"--dataset_dir {folder / DATALIST} --output_dir {folder.parent}"
    )
