"""A cohort folder: a participants table, and a file per participant and map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from bundle.data.datalist import Item
from bundle.data.file_patterns import FETCH, dead_link, is_file
from bundle.data.participants import read_participants
from bundle.data.problems import InputProblems
from bundle.paths import PARTICIPANTS


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
        files = {m: _either_form(folder / patterns[m].format(participant_id=name)) for m in modalities}
        dead = {path: reason for path in files.values() if (reason := dead_link(path))}
        problems += [f"{path} {reason}: {FETCH}." for path, reason in dead.items()]
        missing = [m for m, path in files.items() if not is_file(path) and path not in dead]
        if len(missing) == len(files):
            problems.append(f"{name}: none of its files is there (looked for {files[missing[0]]}): remove its row.")
        elif missing and not any_subset:
            problems += [
                f"{name}: no {m} at {files[m]}: add the file, remove the row, or train a network without {m} "
                "(--modalities) or use the default network, which takes any of the modalities."
                for m in missing
            ]
        there = {m: str(path) for m, path in files.items() if m not in missing}
        items.append({"participant_id": name, "family_id": row["family_id"], **there})
    claimed = {folder / p.replace("{participant_id}", name) for p in patterns.values() for name in known}
    on_disk = {modality: _ids_on_disk(folder, patterns[modality], claimed) - known for modality in modalities}
    for name in sorted(set().union(*on_disk.values())):
        maps = ", ".join(modality for modality, names in on_disk.items() if name in names)
        problems.append(f"{name}: has files ({maps}) but no row in {PARTICIPANTS}: add the row or move them away.")
    if problems:
        raise InputProblems(f"Files of {folder}", problems)
    return items


def _either_form(path: Path) -> Path:
    """The file, or the same without compression where only that is there."""
    plain = path.with_name(path.name.removesuffix(".gz"))
    return plain if path.name.endswith(".nii.gz") and not is_file(path) and is_file(plain) else path


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
    problems += [
        f"The pattern of {m}, {patterns[m]!r}, may hold {{participant_id}}, nothing else in braces: sessions and spaces are "
        "for layouts (preparing --layout; docs/layouts.md)."
        for m in modalities
        if m in patterns and set(patterns[m].replace("{participant_id}", "")) & set("{}")
    ]
    problems += [
        f"The pattern of {m}, {patterns[m]!r}, must start in the cohort folder: give it from there, or a datalist, which takes any path."
        for m in modalities
        if m in patterns and (Path(patterns[m]).expanduser().is_absolute() or ".." in Path(patterns[m]).parts)
    ]
    if problems:
        raise InputProblems("Modalities", problems)


def _ids_on_disk(folder: Path, pattern: str, claimed: Collection[Path]) -> set[str]:
    """Ids that files matching the pattern carry, read from the first path part that holds the id.

    Files of known participants are `claimed`: to `{participant_id}.nii.gz`, `sub-1_FA.nii.gz` would be another participant's.
    """
    parts = Path(pattern).parts
    depth = next(number for number, part in enumerate(parts) if "{participant_id}" in part)
    before, after = parts[depth].split("{participant_id}", 1)
    after = after.split("{participant_id}")[0]
    ids = set()
    for path in folder.glob(pattern.replace("{participant_id}", "*")):
        name = path.relative_to(folder).parts[depth]
        if path in claimed or name.startswith("."):  # what an interrupted writer left
            continue
        ids.add(name[len(before) : len(name) - len(after)] if after else name[len(before) :])
    return ids
