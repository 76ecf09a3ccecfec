"""Numbers among settings: words where they belong, and values that no stage can take."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

MOST = 2**32 - 1
"""Of a seed: numpy and torch take no larger one."""
WHOLE = {
    "seed": 0,
    "num_workers": 0,
    "n_subjects": 1,
    "n_strata": 1,
    "max_epochs": 1,
    "batch_size": 1,
    "n_folds": 2,
    "warmup_steps": 0,
    "n_permutations": 1,
    "n_bootstrap": 1,
    "n_references": 1,
    "n_stability": 1,
    "n_explained": 0,
    "most_people": 0,
    "choice_size": 1,
    "least_members": 1,
    "spatial_size": 1,
}
"""Setting of whole numbers -> the least that makes sense."""
LARGEST = {
    "seed": MOST,
    "n_strata": 7,
    "validation_fraction": 0.9,
    "test_fraction": 0.9,
    "significance": 1.0,
    "validation_share": 0.9,
}
"""Setting -> the largest value."""
POSITIVE = ("spacing_mm", "learning_rate", "outlier_limit", "significance", "validation_fraction", "test_fraction")


def number_problems(name: str, place: str, value: Any, base: Any) -> Iterator[str]:
    """What is wrong with a value that stands for a number, or for a list of numbers.

    Args:
        name: of the setting, for participants.
        place: where it is in the config; `::` separates keys.
        value: that was given.
        base: what stood there.
    """
    key = place.rsplit("::", 1)[-1]
    if base is None and key in (*WHOLE, *POSITIVE) and key != "spatial_size":
        base = 1  # not named in the config, but known
    if isinstance(base, list) and isinstance(value, list) and base and all(map(_is_number, base)):
        for number in value:
            yield from number_problems(name, place, number, base[0])
    if not _is_number(base) or isinstance(value, bool | list | dict) or value is None:
        return
    if isinstance(value, str):
        if value.startswith(("$", "@", "%")):
            return
        try:
            number = float(value)
        except ValueError:
            yield f"{name}: expected a number such as {base}, got {value!r}."
            return
        yield f"{name}: {value!r} is read as text: write {number:g} with a point, as {number:f}, without quotes."
        return
    if "::" in place and not place.startswith(("synthetic::", "factors::", "tests::", "choice::")):
        return  # an argument of a component, which knows its own range
    if not math.isfinite(value) or (value < 0 <= base):
        yield f"{name}: expected a finite number from 0 on, got {value}."
    elif key in WHOLE and (value != int(value) or value < WHOLE[key]):
        yield f"{name}: expected a whole number from {WHOLE[key]} on, got {value}."
    elif key in POSITIVE and value <= 0:
        yield f"{name}: expected a number above 0, got {value}."
    elif value > LARGEST.get(key, math.inf):
        yield f"{name}: expected {LARGEST[key]:g} at most, got {value}."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
