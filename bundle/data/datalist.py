"""From a folder or a MONAI datalist to one list of people with their files, split by family."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bundle.data.problems import InputProblems
from bundle.paths import PARTICIPANTS

SECTIONS = ("training", "validation", "test")
MISSING = ["n/a", "N/A", "NA", "NaN", "nan", ""]
"""Words for a value that is not there; the first is that of BIDS."""
Item = dict[str, str]
"""`participant_id`, `family_id`, and a path for each modality that the person has."""


def check_ids(names: Iterable[str], where: str) -> list[str]:
    """A sentence for each id that cannot name a folder: ids are letters, digits, `_`, `-`, `.` and `+`."""
    return [
        f"{where}: participant_id {name!r} must be letters, digits, '_', '-', '.' or '+', and start with one of the first "
        "three: rename it."
        for name in names
        if not re.fullmatch(r"[A-Za-z0-9_][\w.+-]*", name, flags=re.ASCII)
    ]


def read_strictly(path: Path) -> pd.DataFrame:
    """A user's tab-separated table, all values as text.

    Raises:
        ValueError: if it is empty, not in UTF-8, or has rows of more fields than its header.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows of more fields than the header has
            return pd.read_csv(
                path,
                sep="\t",
                dtype=str,
                index_col=False,
                keep_default_na=False,
                na_values=MISSING,
                encoding="utf-8-sig",
            )
    except pd.errors.ParserWarning as error:
        raise ValueError(str(error)) from error


def read_participants(source: str | Path) -> pd.DataFrame:
    """A participants table, or the `participants.tsv` of a cohort folder; all values as text.

    A person without `family_id` is a family of their own.

    Raises:
        InputProblems: without the file, its id column, or with ids that are empty or there twice.
    """
    path = Path(source) / PARTICIPANTS if Path(source).is_dir() else Path(source)
    if not path.is_file():
        raise InputProblems(
            "Participants",
            [f"{path} is missing: expected a tab-separated table with a column participant_id, a row per person."],
        )
    try:
        table = read_strictly(path)
    except ValueError as error:
        raise InputProblems(str(path), [f"Not a tab-separated table in UTF-8 ({error}): save it as one."]) from error
    if "participant_id" not in table and "," in "".join(table.columns):
        raise InputProblems(str(path), ["This table is separated by commas: save it with tabs."])
    if "participant_id" not in table:
        raise InputProblems(
            str(path), [f"Expected a column participant_id, got {list(table.columns)}: rename the id column."]
        )
    problems = [
        f"{path}: participant_id {name!r} stands in {count} rows: keep one."
        for name, count in Counter(table["participant_id"].dropna()).items()
        if count > 1
    ]
    problems += [
        f"{path}: row {row + 2} has no participant_id." for row in np.flatnonzero(table["participant_id"].isna())
    ]
    problems += check_ids(table["participant_id"].dropna(), str(path))
    if not len(table):
        problems.append(f"{path} lists nobody: expected a row per person.")
    if problems:
        raise InputProblems("Participants", problems)
    own = table["participant_id"].map("family of {}".format)
    table["family_id"] = table["family_id"].fillna(own) if "family_id" in table else own
    return table


def items_from_folder(
    folder: str | Path, patterns: Mapping[str, str], modalities: Sequence[str], any_subset: bool = False
) -> list[Item]:
    """One item per participant of a cohort folder.

    Args:
        folder: holds `participants.tsv`; patterns are relative to it.
        patterns: modality -> file pattern with `{participant_id}`.
        modalities: those wanted, each a key of `patterns`.
        any_subset: participants may lack some, not all, of them.

    Raises:
        InputProblems: for a modality without a pattern, a participant without a file that is needed, a file without a participant.
    """
    folder = Path(folder)
    _check_patterns(patterns, modalities)
    table = read_participants(folder)
    known = set(table["participant_id"])
    items: list[Item] = []
    problems: list[str] = []
    for row in table.to_dict("records"):
        name = row["participant_id"]
        files = {m: folder / patterns[m].format(participant_id=name) for m in modalities}
        missing = [m for m, path in files.items() if not path.is_file()]
        if len(missing) == len(files):
            problems.append(f"{name}: none of its files is there (looked for {files[missing[0]]}): remove its row.")
        elif missing and not any_subset:
            problems += [
                f"{name}: no {m} at {files[m]}: add the file, remove the row, leave {m} out of --modalities, or use a "
                "network that takes any of the maps (--fusion mean)."
                for m in missing
            ]
        there = {m: str(path) for m, path in files.items() if m not in missing}
        items.append({"participant_id": name, "family_id": row["family_id"], **there})
    on_disk = {modality: _ids_on_disk(folder, patterns[modality]) - known for modality in modalities}
    for name in sorted(set().union(*on_disk.values())):
        maps = ", ".join(modality for modality, names in on_disk.items() if name in names)
        problems.append(f"{name}: has files ({maps}) but no row in {PARTICIPANTS}: add the row or move them away.")
    if problems:
        raise InputProblems(f"Files of {folder}", problems)
    return items


def items_from_datalist(path: str | Path, modalities: Sequence[str], any_subset: bool = False) -> dict[str, list[Item]]:
    """Sections of a MONAI datalist JSON; relative paths are taken from the JSON's folder.

    Expected form: `{"training": [{"participant_id": "...", "family_id": "...", "T1w": "..."}, ...], "test": [...]}`;
    `family_id` may be left out. Keys that hold no list of people (`name`, `numTraining`, ...) are no sections. With
    `any_subset` people may lack some, not all, of the modalities.

    Raises:
        InputProblems: for unknown sections, entries without id or a wanted modality, files that are not there, ids
            that stand twice.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise InputProblems(f"Datalist {path}", [f"Not a JSON file ({error})."]) from error
    if not isinstance(content, dict):
        raise InputProblems(f"Datalist {path}", ["Expected an object with sections, got a bare list."])
    problems = [
        f"{path}: unknown section {name!r}, expected some of {SECTIONS}."
        for name, value in content.items()
        if name not in SECTIONS and _is_list_of_people(value)
    ]
    sections: dict[str, list[Item]] = {}
    for section in SECTIONS:
        sections[section] = []
        for number, entry in enumerate(content.get(section) or []):
            name = str(entry.get("participant_id") or "") if isinstance(entry, dict) else ""
            if not name:
                problems.append(f"{path}: entry {number} of {section} has no participant_id.")
                continue
            item = {"participant_id": name, "family_id": str(entry.get("family_id") or f"family of {name}")}
            for modality in modalities:
                if modality not in entry:
                    if not any_subset:
                        problems.append(
                            f"{name}: no {modality} in {path}: it has {sorted(set(entry) - set(item))}; a network that "
                            "takes any of the maps (--fusion mean) could do without."
                        )
                    continue
                if not isinstance(entry[modality], str):
                    problems.append(f"{name}: expected a path for {modality} in {path}, got {entry[modality]!r}.")
                    continue
                file = path.parent / entry[modality]
                if not file.is_file():
                    problems.append(f"{name}: {modality} is not at {file}.")
                item[modality] = str(file)
            if not set(modalities) & set(entry):
                problems.append(f"{name}: none of {', '.join(modalities)} in {path}: remove this entry.")
            sections[section].append(item)
    counts = Counter(item["participant_id"] for items in sections.values() for item in items)
    problems += [f"{name}: stands {count} times in {path}: keep one." for name, count in counts.items() if count > 1]
    problems += check_ids(counts, str(path))
    problems += straddling_families(sections)
    if problems:
        raise InputProblems(f"Datalist {path}", problems)
    return sections


def split_by_family(
    items: Sequence[Item], validation_fraction: float, test_fraction: float, seed: int
) -> dict[str, list[Item]]:
    """Training, validation and test sections; a family is in one of them.

    Whole families, in random order, fill the test section up to its share, then validation, then training.

    Raises:
        InputProblems: if a section would be empty.
    """
    families: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        families[item["family_id"]].append(item)
    order = np.random.default_rng(seed).permutation(np.array(sorted(families), dtype=object))
    wanted = {"test": round(test_fraction * len(items)), "validation": round(validation_fraction * len(items))}
    sections: dict[str, list[Item]] = {section: [] for section in SECTIONS}
    for family in order:
        section = next((name for name, count in wanted.items() if len(sections[name]) < count), "training")
        sections[section] += families[family]
    empty = [name for name, members in sections.items() if not members]
    if empty:
        raise InputProblems(
            "Split",
            [
                f"{len(items)} people in {len(families)} families cannot fill training, validation and test "
                f"(empty: {', '.join(empty)}): add people or change the fractions."
            ],
        )
    position = {item["participant_id"]: number for number, item in enumerate(items)}
    return {name: sorted(rows, key=lambda item: position[item["participant_id"]]) for name, rows in sections.items()}


def people_hash(sections: Mapping[str, Sequence[Item]]) -> str:
    """Twelve hexadecimal digits of who is in which section."""
    people = [(section, item["participant_id"]) for section in SECTIONS for item in sections[section]]
    return hashlib.sha256(repr(people).encode()).hexdigest()[:12]


def present_modalities(item: Item, modalities: Sequence[str]) -> tuple[str, ...]:
    """Those of the modalities that the person has, in their order."""
    return tuple(modality for modality in modalities if modality in item)


def shared_files(items: Sequence[Item], modalities: Sequence[str]) -> list[str]:
    """A sentence for each file that stands for more than one image: people would leak into each other."""
    owners: dict[Path, list[str]] = defaultdict(list)
    for item in items:
        for modality in present_modalities(item, modalities):
            owners[Path(item[modality]).resolve()].append(f"{item['participant_id']} {modality}")
    return [
        f"{path} is given for {' and '.join(names)}: each image needs its own."
        for path, names in owners.items()
        if len(names) > 1
    ]


def straddling_families(sections: Mapping[str, Sequence[Item]]) -> list[str]:
    """A sentence per family that has members in more than one section: relatives would leak into the test."""
    where: dict[str, set[str]] = defaultdict(set)
    for section, items in sections.items():
        for item in items:
            where[item["family_id"]].add(section)
    return [
        f"Family {family} is in {' and '.join(sorted(names))}: put all its members in one section."
        for family, names in where.items()
        if len(names) > 1
    ]


def _is_list_of_people(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _check_patterns(patterns: Mapping[str, str], modalities: Sequence[str]) -> None:
    if isinstance(modalities, str) or not modalities:
        raise InputProblems("Modalities", [f"Expected a list such as \"['T1w','FA']\", got {modalities!r}."])
    problems = [f"Modality {m!r} is given twice." for m, count in Counter(modalities).items() if count > 1]
    problems += [
        f"Unknown modality {m!r}: `images` has patterns for {sorted(patterns)}."
        for m in modalities
        if m not in patterns
    ]
    problems += [
        f"The pattern of {m}, {patterns[m]!r}, has no {{participant_id}}."
        for m in modalities
        if m in patterns and "{participant_id}" not in patterns[m]
    ]
    if problems:
        raise InputProblems("Modalities", problems)


def _ids_on_disk(folder: Path, pattern: str) -> set[str]:
    """Ids that files matching the pattern carry, read from the first path part that holds the id."""
    parts = Path(pattern).parts
    depth = next(number for number, part in enumerate(parts) if "{participant_id}" in part)
    before, after = parts[depth].split("{participant_id}", 1)
    after = after.split("{participant_id}")[0]
    ids = set()
    for path in folder.glob(pattern.replace("{participant_id}", "*")):
        name = path.relative_to(folder).parts[depth]
        if name.startswith("."):  # what an interrupted writer left
            continue
        ids.add(name[len(before) : len(name) - len(after)] if after else name[len(before) :])
    return ids


def datalist_to_json(sections: Mapping[str, Sequence[Item]], **facts: Any) -> str:
    """The text of a MONAI datalist, with `facts` (where it came from) before the sections."""
    return json.dumps({**facts, **{name: list(items) for name, items in sections.items()}}, indent=1)


def read_json(file: Path) -> dict[str, Any]:
    """What a stage wrote as JSON.

    Raises:
        InputProblems: if it is broken.
    """
    try:
        return json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise InputProblems("Results folder", [f"{file} is broken ({error}): delete it, it is made again."]) from error
