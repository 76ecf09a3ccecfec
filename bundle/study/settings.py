"""What a study compares, checked before anything runs."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from bundle.data.problems import InputProblems

GRID_KEYS = ("cohort", "options", "arguments")


@dataclass(frozen=True)
class StudySettings:
    """What a study asks and compares.

    Args:
        name: of its folder.
        question: one sentence.
        runs: what is compared; each a mapping as `StudyRun` describes.
        network: part file of the network that runs start from.
        arguments: of that network, changed for all runs.
        options: of training, for all runs.
        cohort: of the synthetic cohort (`CohortSettings`).
        clustering: options of clustering; None: strata are not looked for.
    """

    name: str
    question: str
    runs: Sequence[Mapping[str, Any]]
    network: str = "configs/parts/network.yaml"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    cohort: Mapping[str, Any] = field(default_factory=dict)
    clustering: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class StudyRun:
    """One of the things compared.

    Args:
        name: of its folder.
        network: part file, instead of the study's.
        arguments: of the network, changed.
        options: of training, changed.
        same_as: an earlier run whose network and options these are.
        time_of: an earlier run; this one gets as many whole epochs as fit into the time of that one's training steps.
            The learning rate runs its full course in them.
    """

    name: str
    network: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    same_as: str | None = None
    time_of: str | None = None


def read_study(study: Mapping[str, Any], grid: Mapping[str, Any]) -> tuple[StudySettings, list[StudyRun]]:
    """A study and its runs, with what the grid gives filled in.

    Args:
        study: arguments of `StudySettings`.
        grid: `cohort`, `options`, and `arguments` per part file: what the study stands on; its own values go before.

    Raises:
        InputProblems: with every unknown or missing key, name that cannot be a folder's or is there twice, and run that
            refers to none before it.
    """
    problems = _key_problems("The study", study, StudySettings)
    problems += [unknown_word("grid", key, GRID_KEYS) for key in grid if key not in GRID_KEYS]
    listed = study.get("runs")
    if not isinstance(listed, list) or not listed:
        problems.append("runs: expected a list of at least one {name: ..., ...}, got none: name what is compared.")
        listed = []
    entries = [entry for entry in listed if isinstance(entry, Mapping)]
    problems += [f"runs: expected {{name: ..., ...}}, got {entry!r}." for entry in listed if entry not in entries]
    for number, entry in enumerate(entries):
        problems += _key_problems(f"Run {entry.get('name', number)}", entry, StudyRun)
    names = [str(entry.get("name")) for entry in entries]
    problems += [
        f"Run {name}: {count} runs have this name: rename one." for name, count in Counter(names).items() if count > 1
    ]
    problems += [
        f"{name!r} cannot name a folder: letters, digits, '_', '-', '.' and '+' can."
        for name in [str(study.get("name", "")), *names]
        if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", name, flags=re.ASCII)
    ]
    for number, entry in enumerate(entries):
        for key in ("same_as", "time_of"):
            if entry.get(key) is not None and entry[key] not in names[:number]:
                problems.append(f"Run {names[number]}: {key} {entry[key]}: no run before it has this name.")
        if entry.get("time_of") is not None and entry.get("same_as") is None:
            problems.append(f"Run {names[number]}: time_of needs same_as, the run that says how long an epoch takes.")
        if entry.get("same_as") is not None and {"network", "arguments", "options"} & set(entry):
            problems.append(f"Run {names[number]}: same_as goes with time_of alone: leave the rest out.")
    if problems:
        raise InputProblems(f"Study {study.get('name', '')}".rstrip(), problems)
    read = StudySettings(**study)
    read = StudySettings(
        **{
            **study,
            "cohort": {**grid.get("cohort", {}), **read.cohort},
            "options": {**grid.get("options", {}), **read.options},
        }
    )
    return read, [StudyRun(**entry) for entry in entries]


def unknown_word(where: str, word: str, known: Sequence[str]) -> str:
    """A sentence on a word that is not known, with the nearest that is, or all."""
    near = difflib.get_close_matches(str(word), [str(one) for one in known], n=1)
    return f"{where}: unknown {word}: " + (f"did you mean {near[0]}?" if near else f"expected {', '.join(known)}.")


def _key_problems(where: str, entry: Mapping[str, Any], kind: type) -> list[str]:
    known = [one.name for one in fields(kind)]
    problems = [unknown_word(where, key, known) for key in entry if key not in known]
    needed = ("name", "question", "runs") if kind is StudySettings else ("name",)
    problems += [f"{where} has no {key}." for key in needed if entry.get(key) is None]
    for key in ("arguments", "options", "cohort", "clustering"):
        if entry.get(key) is not None and not isinstance(entry[key], Mapping):
            problems.append(f"{where}: expected a mapping for {key}, got {entry[key]!r}.")
    return problems
