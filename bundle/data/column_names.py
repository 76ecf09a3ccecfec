"""Names of columns in layouts: text first, and patterns only where a `*` stands in them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bundle.data.yaml_text import read_as


def is_called(column: object, name: str) -> bool:
    """Whether a column has a name; `*` in the name stands for any characters, brackets and question marks for themselves."""
    if str(column) == name:
        return True
    return "*" in name and re.fullmatch(".*".join(map(re.escape, name.split("*"))), str(column), re.DOTALL) is not None


def is_any_of(column: object, names: Iterable[str]) -> bool:
    """Whether a column has one of several names."""
    return any(is_called(column, name) for name in names)


def as_yaml_reads(columns: Iterable[object]) -> dict[str, str]:
    """What YAML makes of names of columns -> these: 2.5 -> 2.50, for names that stood in a layout without quotes."""
    read: dict[str, str] = {}
    for column in map(str, columns):
        read.setdefault(read_as(column), column)
    return read
