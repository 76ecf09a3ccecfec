"""MONAI datalists: participants with their files, in sections."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bundle.data.families import FAMILY_SIZE, alone, family_problems, known_families
from bundle.data.file_patterns import is_file
from bundle.data.missing_words import is_missing
from bundle.data.participants import check_ids
from bundle.data.problems import InputProblems
from bundle.data.relative_columns import is_relative_column
from bundle.data.relatives import relatives_apart

SECTIONS = ("training", "validation", "test")
Item = dict[str, str]
"""`participant_id`, `family_id`, and a path for each modality that the participant has."""


def items_from_datalist(path: str | Path, modalities: Sequence[str], any_subset: bool = False) -> dict[str, list[Item]]:
    """Sections of a MONAI datalist JSON; relative paths are taken from the JSON's folder.

    Expected form: `{"training": [{"participant_id": "...", "family_id": "...", "T1w": "..."}, ...], "test": [...]}`;
    `family_id` may be left out or null. Keys that hold no list of participants (`name`, `numTraining`, ...) are no sections. With
    `any_subset` participants may lack some, not all, of the modalities.

    Raises:
        InputProblems: for unknown sections, entries without id or a wanted modality, files that are not there, ids
            that stand twice.
    """
    path = Path(path)
    content = _read(path)
    problems = [
        f"{path}: unknown section {name!r}, expected some of {SECTIONS}."
        for name, value in content.items()
        if name not in SECTIONS and _is_list_of_people(value)
    ]
    entries: dict[str, dict[str, Any]] = {}
    sections: dict[str, list[Item]] = {}
    for section in SECTIONS:
        sections[section] = []
        people = content.get(section) or []
        if not isinstance(people, list):
            problems.append(f"{path}: expected a list of participants in {section}, got {people!r:.40}.")
            continue
        for number, entry in enumerate(people):
            name = _word(entry.get("participant_id")) if isinstance(entry, dict) else ""
            if not name:
                problems.append(f"{path}: entry {number} of {section} has no participant_id.")
                continue
            item, wrong = _item_of(name, entry, path, modalities, any_subset)
            problems += wrong
            sections[section].append(item)
            entries[name] = entry
    counts = Counter(item["participant_id"] for items in sections.values() for item in items)
    problems += [f"{name}: stands {count} times in {path}: keep one." for name, count in counts.items() if count > 1]
    problems += check_ids(counts, str(path))
    problems += _with_families(sections, entries, path.name)
    problems += straddling_families(sections)
    if problems:
        raise InputProblems(f"Datalist {path}", problems)
    return sections


def _with_families(
    sections: Mapping[str, Sequence[Item]], entries: Mapping[str, Mapping[str, Any]], file: str
) -> list[str]:
    """Give items their families; a sentence for each that cannot be one, and for relatives that other entries name."""
    everybody = [item for items in sections.values() for item in items]
    labels = pd.Series([item["family_id"] or np.nan for item in everybody], dtype=object)
    for item, family in zip(everybody, known_families(labels, file), strict=True):
        item["family_id"] = alone(item["participant_id"]) if pd.isna(family) else family
    families = {item["participant_id"]: item["family_id"] for item in everybody}
    words = {key for entry in entries.values() for key in entry if is_relative_column(key)} - {"family_id"}
    rows = [
        {"participant_id": name, **{key: _word(entry.get(key)) or np.nan for key in sorted(words)}}
        for name, entry in entries.items()
    ]
    problems = family_problems(families, {name: entry.get(FAMILY_SIZE) for name, entry in entries.items()})
    return problems + (relatives_apart(pd.DataFrame(rows, dtype=object), families) if words else [])


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputProblems(f"Datalist {path}", [f"Not a JSON file in UTF-8 ({error}): save it as one."]) from error
    if not isinstance(content, dict):
        raise InputProblems(f"Datalist {path}", ["Expected an object with sections, got a bare list."])
    return content


def _is_list_of_people(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _word(value: object) -> str:
    """An id as text, numbers too (0 is one); empty if it is null, NaN or another word for a missing value, or blank."""
    word = "" if value is None else str(value).strip()
    return "" if is_missing(word) else word


def _item_of(
    name: str, entry: Mapping[str, Any], path: Path, modalities: Sequence[str], any_subset: bool
) -> tuple[Item, list[str]]:
    """A participant of the datalist at a path, and a sentence for each thing that is wrong with the entry."""
    item = {"participant_id": name, "family_id": _word(entry.get("family_id"))}
    problems = []
    for modality in modalities:
        if modality not in entry:
            if not any_subset:
                problems.append(
                    f"{name}: no {modality} in {path}: it has {', '.join(key for key in entry if key not in ('participant_id', 'family_id'))}; leave "
                    f"{modality} out of --modalities, or use the default network, which takes any of the modalities."
                )
            continue
        if not isinstance(entry[modality], str):
            problems.append(f"{name}: expected a path for {modality} in {path}, got {entry[modality]!r}.")
            continue
        file = path.parent / entry[modality]
        if not is_file(file):
            problems.append(f"{name}: {modality} is not at {file}.")
        item[modality] = str(file)
    if not set(modalities) & set(entry):
        problems.append(f"{name}: none of {', '.join(modalities)} in {path}: remove this entry.")
    return item, problems


def people_hash(sections: Mapping[str, Sequence[Item]]) -> str:
    """Twelve hexadecimal digits of who is in which section."""
    people = [(section, item["participant_id"]) for section in SECTIONS for item in sections[section]]
    return hashlib.sha256(repr(people).encode()).hexdigest()[:12]


def present_modalities(item: Item, modalities: Sequence[str]) -> tuple[str, ...]:
    """Those of the modalities that the participant has, in their order."""
    return tuple(modality for modality in modalities if modality in item)


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


def datalist_to_json(sections: Mapping[str, Sequence[Item]], **facts: Any) -> str:
    """The text of a MONAI datalist, with `facts` (where it came from) before the sections."""
    return json.dumps({**facts, **{name: list(items) for name, items in sections.items()}}, indent=1)
