"""Libraries that only raw scans need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bundle.data.problems import InputProblems


def needed(module: str) -> Any:
    """Import a library of the `prepare` extra.

    Raises:
        InputProblems: if it is not installed, with the command that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise InputProblems(
            "Libraries", [f'{module.split(".")[0]} is not installed: pip install -c constraints.txt -e ".[prepare]".']
        ) from error
