"""The command line of `python -m monai.bundle run`, checked before anything is built."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import monai.bundle
from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser
from monai.utils import ensure_tuple

from bundle.data.problems import InputProblems
from bundle.running.config_keys import KnownKeys, runs_of, unknown, unused_keys

NAMES = ("participant_id", "participant_ids", "session")
"""Options that hold names, not numbers, as do folders, `..._dir`."""


def check_command_line(words: Sequence[str]) -> None:
    """Refuse what MONAI would take silently and read as something else.

    MONAI takes a misspelt option, and a misspelt key of a config, as a new setting, reads `false` as text, which
    counts as true, drops `None`, and reads an id such as `2_0` or `1e5` as a number.

    Args:
        words: of the command line; anything but `run` with a config is left alone.

    Raises:
        InputProblems: naming each option, or file and key, and how to write it.
    """
    if not words or words[0] != "run":
        return
    options, others, bare = _options(words[1:])
    values: dict[str, Any] = {name: DefaultParseValue(text) for name, text in options.items()}
    if "args_file" in values:
        values = ConfigParser.load_config_file(values["args_file"]) | values
    if "config_file" not in values:
        return
    if "help" in options:
        raise InputProblems(
            "Command line",
            ["There is no --help: docs/options.md has every option, the config itself says what each does."],
        )
    base, *overlays = ensure_tuple(values["config_file"])
    absent = [_no_file(name) for name in (base, *overlays) if not Path(str(name)).is_file()]
    if absent:
        raise InputProblems("Command line", absent)
    own = set(inspect.signature(monai.bundle.run).parameters) - {"override"}
    config = ConfigParser.load_config_file(base)
    known = KnownKeys(config, own)
    problems = [f"{base}: nothing refers to {key}, so it has no effect: misspelt?" for key in unused_keys(config)]
    problems += check_overlays(known, overlays)
    settings = {name: value for name, value in values.items() if name not in own}
    problems += [word for name, text in options.items() if (word := _misread(name, text, known))]
    problems += [
        f"--{name} has no value."
        for name in bare
        if name in known.parser and not isinstance(known.value_of(name), bool)
    ]
    if len(others) > 1:
        problems.append(
            f"Words that belong to no option: {' '.join(others[1:])}. Options start with --, a value with blanks stands in quotes."
        )
    problems += [sentence for found in known.take(settings, mark="--").values() for sentence in found]
    run_id = str(values.get("run_id", others[0] if others else "run"))
    if run_id not in known.parser:
        runs = runs_of({key: known.value_of(key) for key in known.parser.get()})
        problems.append(f"{unknown(run_id, '', runs)} {base} runs {' and '.join(runs)}.")
    if problems:
        raise InputProblems("Command line", problems)


def check_overlays(known: KnownKeys, files: Sequence[str]) -> list[str]:
    """A sentence for each key of an overlay that the config before it does not know; the others are taken."""
    return [
        f"{file}: {sentence}"
        for file in files
        for found in known.take(ConfigParser.load_config_file(file)).values()
        for sentence in found
    ]


def _misread(name: str, text: str, known: KnownKeys) -> str:
    """What MONAI would read as something else, or nothing."""
    if name.startswith("+"):
        return f"--{name}: MONAI would replace, not append: put {name} into an overlay, a second --config_file."
    file = text[1:].partition("::")[0]
    if text.startswith("%") and file.endswith((".yaml", ".yml", ".json")) and not Path(file).is_file():
        return f"--{name} {text}: there is no file {file} in {Path.cwd()}."
    if text in ("None", "null"):
        return f"--{name} {text}: MONAI reads this as no option at all: write --{name} '$None'."
    if name in NAMES or name.endswith("_dir"):
        others = _other_names(text, takes_list=name == "participant_ids")
        if others:
            words = ", ".join(f"{one} as {read}" for one, read in others.items())
            return (
                f"--{name} {text}: MONAI reads {words}: put quotes inside quotes, such as \"'{next(iter(others))}'\"."
            )
    return ""


def _other_names(text: str, takes_list: bool) -> dict[str, Any]:
    """Name -> what it is read as, of those that are read as others; in quotes of its own a name is itself."""
    value = DefaultParseValue(text)
    if takes_list and isinstance(value, list | tuple | set):
        parts: Any = ast.parse(text, mode="eval").body
        names = [str(ast.get_source_segment(text, part)) for part in parts.elts]
        return {one: read for name in names for one, read in _other_names(name, False).items()}
    is_quoted = isinstance(value, str) and text.startswith(("'", '"'))
    return {} if is_quoted or str(value) == text else {text: value}


def _no_file(name: Any) -> str:
    """That a config is not there, and the nearest of its folder that is."""
    file = Path(str(name))
    near = get_close_matches(file.name, [other.name for other in file.parent.glob("*.yaml")], 1)
    return f"--config_file {name}: there is no such file in {Path.cwd()}" + (
        f": did you mean {file.parent / near[0]}?" if near else "."
    )


def _options(words: Sequence[str]) -> tuple[Mapping[str, str], list[str], list[str]]:
    """Option name (underscores) -> its text, from `--name value` and `--name=value`; words of no option; options without value."""
    options, others, bare = {}, [], []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not _is_option(word):
            others.append(word)
            continue
        name, equals, text = word.lstrip("-").partition("=")
        if not equals and (not rest or _is_option(rest[0])):
            text = "True"
            bare.append(name.replace("-", "_"))
        elif not equals:
            text = rest.pop(0)
        if name:
            options[name.replace("-", "_")] = text
    return options, others, bare


def _is_option(word: str) -> bool:
    return re.match(r"--|-[a-zA-Z]", word) is not None
