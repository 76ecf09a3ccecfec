"""Libraries that only raw scans need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bundle.data.problems import InputProblems

INSTALLED_BY = {
    "deepbet": "pip install --no-deps deepbet && pip install fill-voids connected-components-3d",
    "ants": "pip install --no-deps antspyx && pip install -c constraints.txt statsmodels requests webcolors",
    "amico": "pip install -c constraints.txt dmri-amico (its licence: research and education only, nothing commercial)",
}
"""Libraries that are not in the extra; deepbet's own list would install a graphical interface, ANTs' older numbers."""


def needed(module: str) -> Any:
    """Import a library that only raw scans need.

    Raises:
        InputProblems: if it is not installed, with the command that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        name = module.split(".")[0]
        how = INSTALLED_BY.get(name, 'pip install -c constraints.txt -e ".[prepare]"')
        raise InputProblems("Libraries", [f"{name} cannot be imported ({error}): {how}."]) from error
