"""Which name is probably meant by one that no participant knows."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

NEAR = 0.8
"""Likeness, by difflib, from which a name is taken for another one misspelt."""


def near_name(name: str, known: Iterable[str]) -> str:
    """The known name that is nearest to another, whatever their case and `*`; empty if none is near."""
    by_lower = {other.lower(): other for other in known}
    near = get_close_matches(name.lower().strip("*"), list(by_lower), 1, NEAR)
    return by_lower[near[0]] if near else ""
