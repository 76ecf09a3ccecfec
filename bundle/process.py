"""Set up the process that a stage runs in."""

from __future__ import annotations

import ast
import ctypes
import difflib
import inspect
import platform
import re
import sys
from collections.abc import Sequence
from types import TracebackType

import monai.bundle
import torch
from monai.bundle import ConfigParser

from bundle.data.problems import InputProblems


def start_process(seed: int, deterministic: bool = False) -> None:
    """Seed torch, choose deterministic algorithms if asked (slower on GPUs), keep freed memory, speak plainly."""
    sys.excepthook = show_error
    check_options(sys.argv[1:])
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(bool(deterministic))
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Ask glibc to keep freed memory rather than return it to the kernel.

    Every large tensor on the CPU otherwise pays for fresh pages, which slows elementwise operations several times.
    """
    if platform.libc_ver()[0] == "glibc":
        m_mmap_max, m_trim_threshold = -4, -1  # from malloc.h
        libc = ctypes.CDLL(None)
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)


def show_error(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """An uncaught error, for people: problems of their input without a traceback, others with their cause last.

    A config builds objects inside objects, and every level wraps the error of the one below.
    """
    root: BaseException = error
    while root.__cause__ is not None and not isinstance(root, InputProblems):
        root = root.__cause__
    if isinstance(root, InputProblems):
        print(f"\n{root}", file=sys.stderr)
        return
    sys.__excepthook__(kind, error, traceback)
    if root is not error:
        print(f"\nCause: {type(root).__name__}: {root}", file=sys.stderr)


def check_options(words: Sequence[str]) -> None:
    """Refuse options of `python -m monai.bundle run` that would pass silently and mean something else.

    MONAI takes a misspelt option as a new setting, reads `false` as text, which counts as true, and drops `None`.

    Args:
        words: of the command line; anything but that command is left alone.

    Raises:
        InputProblems: naming each option and how to write it.
    """
    options = _options(words)
    if "config_file" not in options or words[0] != "run":
        return
    value = options["config_file"]
    config = ConfigParser.load_config_files(ast.literal_eval(value) if value.startswith("[") else [value])
    known = set(config) | set(inspect.signature(monai.bundle.run).parameters)
    problems = []
    for name, text in options.items():
        root = re.split(r"::|#", name)[0].lstrip("+")
        if root not in known:
            near = difflib.get_close_matches(root, known, n=1)
            problems.append(f"Unknown option --{root}" + (f": did you mean --{near[0]}?" if near else "."))
        elif isinstance(config.get(name), bool) and text not in ("True", "False", "true"):
            problems.append(f"--{name} {text}: write --{name} True or --{name} False, with a capital.")
        elif text in ("None", "null"):
            problems.append(f"--{name} {text}: MONAI reads this as no option at all: write --{name} '$None'.")
    if problems:
        raise InputProblems("Command line", problems)


def _options(words: Sequence[str]) -> dict[str, str]:
    """Option name (underscores) -> its text; both `--name value` and `--name=value`."""
    options = {}
    for word, following in zip(words, [*words[1:], "--"], strict=False):
        if word.startswith("--") and len(word) > 2:
            name, equals, text = word[2:].partition("=")
            options[name.replace("-", "_")] = text if equals else ("True" if following.startswith("--") else following)
    return options
