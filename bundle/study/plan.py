"""From a study's settings to what each training is made with."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from bundle.data.cohort_settings import CohortSettings
from bundle.running.config_keys import KnownKeys
from bundle.running.stage_process import BUNDLE_ROOT
from bundle.study.settings import StudyRun, StudySettings, unknown_word
from custom_nets import trainable_parameters

OWN = ("output_dir", "dataset_dir", "resume", "seed", "synthetic", "network_def", "run")
"""Options that a study sets itself."""


@dataclass(frozen=True)
class PlannedRun:
    """One training, complete.

    Attributes:
        name: of its folder.
        network: content of its network part.
        options: of training.
        modalities: names, in channel order.
        parameters: trainable values of its network.
        embedding_size: values of its embedding.
        same_as: see `StudyRun`.
        time_of: see `StudyRun`.
        reference: network and options of the run that `time_of` names.
    """

    name: str
    network: Mapping[str, Any]
    options: Mapping[str, Any]
    modalities: tuple[str, ...]
    parameters: int
    embedding_size: int
    same_as: str | None = None
    time_of: str | None = None
    reference: Mapping[str, Any] | None = None


def plan_runs(
    study: StudySettings, runs: Sequence[StudyRun], arguments: Mapping[str, Mapping[str, Any]]
) -> tuple[list[PlannedRun], list[str]]:
    """What each run is made with; every network is built once to see that it can be.

    Args:
        study: with the grid's values filled in.
        runs: of the study.
        arguments: part file -> arguments of its network that the grid asks for.

    Returns:
        Planned runs, and a sentence for each option, argument, modality or network that is wrong.
    """
    planned: dict[str, PlannedRun] = {}
    problems = [
        unknown_word("cohort", key, names)
        for key in study.cohort
        if key not in (names := [one.name for one in dataclasses.fields(CohortSettings)])
    ]
    for found in KnownKeys(_config("cluster")).take(study.clustering or {}).values():
        problems += [f"clustering: {sentence}" for sentence in found]
    for run in runs:
        if run.same_as is not None:
            if run.same_as in planned and run.time_of in planned:
                timed = planned[run.time_of]
                planned[run.name] = dataclasses.replace(
                    planned[run.same_as],
                    name=run.name,
                    same_as=run.same_as,
                    time_of=run.time_of,
                    reference={"network": timed.network, "options": timed.options},
                )
            continue
        made, wrong = _plan(study, run, arguments)
        problems += [f"Run {run.name}: {sentence}" for sentence in wrong]
        if made is not None:
            planned[run.name] = made
    return list(planned.values()), problems


def _plan(
    study: StudySettings, run: StudyRun, arguments: Mapping[str, Mapping[str, Any]]
) -> tuple[PlannedRun | None, list[str]]:
    part = run.network or study.network
    if not (BUNDLE_ROOT / part).is_file():
        return None, [f"network: there is no {part}."]
    content = ConfigParser.load_config_file(BUNDLE_ROOT / part)
    network = {**content, **arguments.get(part, {}), **study.arguments, **run.arguments}
    options = {**study.options, **run.options}
    problems = [f"option {key}: a study sets it itself: leave it out." for key in options if key in OWN]
    known = KnownKeys(_config("train"))
    for found in known.take({key: value for key, value in options.items() if key not in OWN}).values():
        problems += found
    for found in known.take({"network_def": network}).values():
        problems += found
    modalities = known.value_of("modalities")
    patterns = known.value_of("images")
    if not isinstance(modalities, list):
        problems.append(f"modalities: expected a list such as [T1w, FA], got {modalities!r}.")
    else:
        problems += [unknown_word("modalities", name, list(patterns)) for name in modalities if name not in patterns]
    if problems:
        return None, problems
    parser = ConfigParser(copy.deepcopy(known.parser.get()))  # the network refers to what stands around it
    try:
        built = parser.get_parsed_content("network_def")
    except Exception as error:  # whatever a network raises for arguments that it cannot be built from
        root: BaseException = error
        while root.__cause__ is not None:
            root = root.__cause__
        return None, [f"its network cannot be built: {root}"]
    sizes = trainable_parameters(built), built.embedding_size
    return PlannedRun(run.name, network, options, tuple(modalities), *sizes), []


def _config(name: str) -> dict[str, Any]:
    return ConfigParser.load_config_file(Path(BUNDLE_ROOT) / "configs" / f"{name}.yaml")
