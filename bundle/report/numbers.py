"""Numbers as participants read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

NOT_THERE = "n/a"
Writer = Callable[[Any], str]


def words(value: Any) -> str:
    """Text as it is."""
    return NOT_THERE if pd.isna(value) else str(value)


def as_written(value: Any) -> str:
    """A number that is text already; unlike words it stands at the right."""
    return words(value)


def count(value: Any) -> str:
    """1234 as 1,234."""
    return NOT_THERE if pd.isna(value) else f"{round(float(value)):,}"


def share(value: Any) -> str:
    """0.256 as 26 %, 0.004 as 0.4 %."""
    if pd.isna(value):
        return NOT_THERE
    percent = 100 * float(value)
    return f"{percent:.0f} %" if abs(percent) >= 9.95 else f"{percent:z.1f}".removesuffix(".0") + " %"


def digits(places: int) -> Writer:
    """Writes a number with so many decimals; a tiny negative one is no `-0.00`."""

    def write(value: Any) -> str:
        return NOT_THERE if pd.isna(value) else f"{float(value):z.{places}f}"

    return write


def with_ends(value: float, low: float, high: float) -> str:
    """0.744 [0.731, 0.757]; without brackets where there is no interval."""
    write = digits(3)
    return write(value) if pd.isna(low) else f"{write(value)} [{write(low)}, {write(high)}]"


def setting(value: Any) -> str:
    """A setting as a participant would write it: 0.005, not 0.005000000001."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return listed([setting(part) for part in value]) if isinstance(value, list | tuple) else str(value)


def p_value(value: Any) -> str:
    """0.43, 0.031, 0.003, and 0.0001 where so few of many permutations gave as much; below that < 0.0001."""
    if pd.isna(value):
        return NOT_THERE
    p = float(value)
    if p >= 0.1:
        return f"{p:.2f}"
    if p >= 0.00095:
        return f"{p:.3f}"
    return f"{p:.4f}" if p >= 0.00005 else "< 0.0001"


def p_is(value: Any) -> str:
    """p = 0.031, or p < 0.0001."""
    text = p_value(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def least_p(n_permutations: int) -> str:
    """What the least p means."""
    return f"{p_value(1 / (n_permutations + 1))} is the least that {n_permutations:,} permutations can give."


def listed(parts: Sequence[str]) -> str:
    """a, b and c."""
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def counted(number: int, noun: str, plural: str = "") -> str:
    """1 participant, 2 participants."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
