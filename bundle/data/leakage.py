"""Ways in which the people of a test can be known to the training: one image twice, relatives in two families."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from bundle.data.datalist import Item, present_modalities
from bundle.data.findings import MEND, Finding, Job, to_mend

PERSON_COLUMN = "person_id"
"""Scans of one person, who has a participant_id for each of them."""
RELATIVE_COLUMNS = (
    "family_id",
    PERSON_COLUMN,
    "mother_id",
    "father_id",
    "twin_id",
    "twin_pair",
    "twin_pair_id",
    "twin_of",
    "cotwin_id",
)
"""Columns, in any case, whose equal values mean relatives, or one person; a value that is somebody's participant_id means that person."""
UNKNOWN = "0"
"""A parent or twin that is not known, as PLINK writes it; a family may be called so."""
ZYGOSITY_COLUMNS = ("zygosity", "zygositygt", "zygositysr")
IDENTICAL = ("mz", "monozygotic")
TWIN = (*IDENTICAL, "dz", "dizygotic", "notmz")
"""Words for twins in those columns, in any case; `NotMZ` is HCP's."""
AGE_COLUMNS = ("age_years", "age", "age_in_yrs")
APART = ", but stand in several families: give them one family_id."


def shared_files(items: Sequence[Item], modalities: Sequence[str]) -> list[Finding]:
    """A finding for each file that stands for more than one image: people would leak into each other."""
    owners: dict[Path, list[str]] = defaultdict(list)
    for item in items:
        for modality in present_modalities(item, modalities):
            owners[Path(item[modality]).resolve()].append(f"{item['participant_id']} {modality}")
    return [
        Finding("", "", MEND, f"{path} is given for {' and '.join(names)}", "each image needs its own")
        for path, names in owners.items()
        if len(names) > 1
    ]


def same_images(items: Sequence[Item], modalities: Sequence[str], hashes: Mapping[str, str]) -> list[Finding]:
    """A finding for each image that shows the voxels of another; one file given twice is for `shared_files`.

    Args:
        items: everybody, with the paths of their images.
        modalities: which paths to compare, also with each other.
        hashes: path -> hash of its voxels.
    """
    owners: dict[str, list[Job]] = defaultdict(list)
    for item in items:
        for modality in present_modalities(item, modalities):
            path = item[modality]
            if path in hashes and path not in {known for _, _, known in owners[hashes[path]]}:
                owners[hashes[path]].append((item["participant_id"], modality, path))
    findings = []
    for group in owners.values():
        for job in group:
            others = " and ".join(f"{name} {modality} ({path})" for name, modality, path in group if path != job[2])
            if others:
                findings.append(to_mend(job, f"shows the same voxels as {others}", "keep the right one"))
    return findings


def relatives_apart(table: pd.DataFrame, families: Mapping[str, str]) -> list[str]:
    """A sentence for each group that the participants table says are relatives but who are in several families.

    Said are equal values in `RELATIVE_COLUMNS`. Where only `zygosity` says who is a twin, two who are each the only such
    twin of their family, and alike in age (and sex, if identical), are taken for a pair; that needs ages with decimals,
    since whole years agree by chance.

    Args:
        table: participants, with `participant_id`.
        families: participant id -> family id; others are not looked at.
    """
    known = table[table["participant_id"].isin(list(families))].set_index("participant_id")
    columns = {str(column).lower(): str(column) for column in known.columns}
    problems: dict[frozenset[str], str] = {}  # one sentence for people, whatever says so and how often
    for column in [str(column) for column in known.columns if str(column).lower() in RELATIVE_COLUMNS]:
        groups: dict[str, list[str]] = defaultdict(list)
        for name, value in known[column].dropna().items():
            if str(value) != UNKNOWN or column.lower() == "family_id":
                groups[str(value)].append(str(name))
        for value, names in groups.items():
            together = list(dict.fromkeys([*([value] if value in families else []), *names]))
            if len({families[name] for name in together}) > 1:
                what = "scans of one person" if column.lower() == PERSON_COLUMN else "relatives"
                words = f"{_named(together, families)} are {what} by {column} {value!r}{APART}"
                problems.setdefault(frozenset(together), words)
    if columns.keys() & set(RELATIVE_COLUMNS) - {"family_id", PERSON_COLUMN}:
        return list(problems.values())
    return [*problems.values(), *_lone_twins(known, columns, families)]


def _lone_twins(known: pd.DataFrame, columns: Mapping[str, str], families: Mapping[str, str]) -> list[str]:
    """Sentences on twins by zygosity who lack a twin in their own family and are like each other."""
    zygosity, age = (_first(columns, names) for names in (ZYGOSITY_COLUMNS, AGE_COLUMNS))
    if zygosity is None or age is None:
        return []
    ages = pd.to_numeric(known[age], errors="coerce")
    if not (ages % 1).any():
        return []
    kinds = known[zygosity].astype(str).str.lower()
    twins = kinds[kinds.isin(TWIN) & ages.notna()]
    own = pd.Series([f"{families[str(name)]} {kind}" for name, kind in twins.items()], index=twins.index)
    groups: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for name, kind in twins[own.map(own.value_counts()) == 1].items():
        sex = known[columns["sex"]][name] if kind in IDENTICAL and "sex" in columns else None
        groups[kind, ages[name], sex].append(str(name))
    return [
        f"{_named(names, families)} are twins of like age by {zygosity}{APART} If their twins are not in the cohort, "
        f"write n/a as their {zygosity}."
        for names in groups.values()
        if len(names) > 1
    ]


def _first(columns: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((columns[name] for name in names if name in columns), None)


def _named(names: Sequence[str], families: Mapping[str, str]) -> str:
    return " and ".join(f"{name} (family {families[name].removeprefix('family ')})" for name in names)
