"""What each fold is trained and evaluated with: checked once, before anything runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from bundle.data.problems import InputProblems
from bundle.running.command_line import check_command_line
from bundle.running.plain_settings import plain_settings, root_of
from bundle.running.stage_process import stage_command

CONFIGS = {"training": "configs/train.yaml", "evaluating": "configs/evaluate.yaml"}
"""The two stages that make a fold, in order."""
OWN_FILE = "configs/cross_validate.yaml"
SET_BY_FOLDS = ("resume", "test_fraction", "split", "checkpoint")
NO_SETTINGS = (
    *("bundle_root", "output_dir", "dataset_dir", "images", "resume", "validation_fraction", "test_fraction"),
    *("synthetic", "cache_rate", "num_workers", "progress"),
)
"""Options of training that do not change what a fold is, or that the fold's list of participants settles."""
IMAGES_HASH = "images_hash"


@dataclass(frozen=True)
class FoldSettings:
    """Overlays of the two stages, and what a fold was made with, as plain values.

    Attributes:
        overlays: run id -> key -> value, to be laid over the stage's config.
        made_with: name -> value, of every option that shapes the result; folds are pooled only if theirs are the same.
    """

    overlays: Mapping[str, Mapping[str, Any]]
    made_with: Mapping[str, Any]


def fold_settings(training: str | Mapping[str, Any] | None, shared: Mapping[str, Any]) -> FoldSettings:
    """Settings of all folds from what the user wants to be different in training.

    Args:
        training: a config file to lay over `configs/train.yaml`, or its keys and values. The value of `network_def`, or
            of another part, may be the name of its file. Keys that evaluation has too go to both stages. Options that
            cross-validation has itself may stand there with the value that they have.
        shared: options that cross-validation has itself and hands on (`modalities`, `seed`, ...).

    Raises:
        InputProblems: for keys that training does not know or that are not set there, and values that are no plain ones.
    """
    wanted = {
        key: value for key, value in _plain(training).items() if key not in shared or _resolved(value) != shared[key]
    }
    configs = {run_id: ConfigParser.load_config_file(file) for run_id, file in CONFIGS.items()}
    problems = []
    for key in wanted:
        root = root_of(key)
        if root in ConfigParser.load_config_file(OWN_FILE) and root not in ("training", "imports"):
            problems.append(f"{key}: give it to cross-validation itself: --{root}.")
        elif root in SET_BY_FOLDS:
            problems.append(f"{key}: every fold sets it itself; leave it out.")
    problems += _unknown({key.lstrip("+"): value for key, value in wanted.items()})
    if problems:
        raise InputProblems("--training", problems)
    same = {key for key in configs["training"] if configs["training"][key] == configs["evaluating"].get(key, object)}
    handed_on = {"progress": False, **shared}
    overlays = {
        "training": {**_known(handed_on, configs["training"]), **wanted},
        "evaluating": {
            **_known(handed_on, configs["evaluating"]),
            **{key: value for key, value in wanted.items() if root_of(key) in same},
        },
    }
    return FoldSettings(overlays, plain_settings(configs["training"], overlays["training"], NO_SETTINGS))


def _plain(training: str | Mapping[str, Any] | None) -> dict[str, Any]:
    """The user's keys and values; names of part files as the macros that they stand for."""
    if training is None:
        return {}
    if isinstance(training, str):
        if not Path(training).is_file():
            raise InputProblems(
                "--training", [f"No file {training}: expected a config (.yaml, .json) or a dictionary."]
            )
        training = ConfigParser.load_config_file(training)
    if not isinstance(training, Mapping):
        raise InputProblems("--training", [f"Expected a config file or a dictionary, got {training!r}."])
    problems, wanted = [], {}
    for key, value in training.items():
        is_file = isinstance(value, str) and value.endswith((".yaml", ".yml", ".json")) and Path(value).is_file()
        wanted[str(key)] = f"%{value}" if is_file else value
        try:
            json.dumps(value)
        except TypeError:
            problems.append(
                f"{key}: MONAI built a {type(value).__name__} of it: give the name of its file without '%', or put it "
                "into a config file and give --training FILE."
            )
    if problems:
        raise InputProblems("--training", problems)
    return wanted


def _resolved(value: Any) -> Any:
    """What a macro stands for."""
    parser = ConfigParser({"value": value})
    parser.resolve_macro_and_relative_ids()
    return parser.get("value")


def _unknown(wanted: Mapping[str, Any]) -> list[str]:
    """What training's own command line would refuse."""
    try:
        check_command_line(stage_command("training", [CONFIGS["training"]], wanted)[3:])
    except InputProblems as error:
        return error.problems
    return []


def _known(knobs: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in knobs.items() if key in config}


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> Sequence[str]:
    """`name: value then, value now` for each setting in which two folds differ.

    Folds that were begun before hashes of images were recorded go on: what they do not tell is not compared.
    """
    names = dict.fromkeys([*one, *other])
    if IMAGES_HASH not in one or IMAGES_HASH not in other:
        names.pop(IMAGES_HASH, None)
    return [
        f"{name}: {one.get(name)} then, {other.get(name)} now" for name in names if one.get(name) != other.get(name)
    ]
