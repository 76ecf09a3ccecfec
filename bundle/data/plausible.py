"""Values that no participant and no scanner gives."""

from __future__ import annotations

import numpy as np
import pandas as pd

RANGES = {"age_years": (0.0, 120.0), "head_size_ml": (100.0, 5000.0), "motion_mm": (0.0, 100.0)}
"""Least and largest value of columns that later stages know by name."""
LARGEST = 1e15
"""Of any other number: squares of larger ones overflow single precision."""
MOST_NAMED = 5


def implausible_values(numbers: pd.DataFrame) -> list[str]:
    """A sentence for each column with values that are infinite, huge or out of the range of what the column means.

    Args:
        numbers: floats, NaN where there is none; the index names participants.
    """
    values = numbers.to_numpy(dtype=float)
    least, largest = np.full(values.shape[1], -LARGEST), np.full(values.shape[1], LARGEST)
    for position, name in enumerate(map(str, numbers.columns)):
        if name in RANGES:
            least[position], largest[position] = RANGES[name]
        elif name.casefold() == "age" or name.casefold().startswith("age_"):
            least[position] = 0.0
    odd = (values < least) | (values > largest)
    problems = []
    for position in map(int, np.flatnonzero(odd.any(axis=0))):
        rows = np.flatnonzero(odd[:, position])
        few = ", ".join(f"{numbers.index[row]} {values[row, position]:g}" for row in rows[:MOST_NAMED])
        more = f" and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
        problems.append(
            f"{numbers.columns[position]}: expected {least[position]:g} to {largest[position]:g}, got {few}{more}: correct "
            "it, or write n/a if it is not known."
        )
    return problems
