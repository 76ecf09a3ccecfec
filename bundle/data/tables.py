"""Tables that stages leave for participants, for other programs and for each other, and those of users."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from bundle.data.atomic import atomic_path
from bundle.data.missing_words import ANYWHERE, MISSING
from bundle.data.problems import InputProblems
from bundle.data.table_text import read_cells

SAID = "missing_words"
"""Attribute of a table that `read_strictly` gives: word -> how many cells were missing by it; empty ones and n/a do not count."""

MOST_WORDS = 5


def write_table(table: pd.DataFrame, file: str | Path) -> None:
    """Write a tab-separated table in UTF-8, whole or not at all.

    Args:
        table: a header and a row per record; its index is not written. Numbers that are no integers are rounded to six
            significant digits; values that are not there become `n/a`, tabs and line ends in words blanks.
        file: where to; its folder is made.

    Raises:
        OSError: as the writing did; what was at `file` before is untouched.
    """
    words = table.select_dtypes(include=["object", "str"]).columns
    table = table.assign(**{name: table[name].replace(r"[\t\r\n]+", " ", regex=True) for name in words})
    with atomic_path(file) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format="%.6g", na_rep=MISSING[0])


def read_table(
    file: str | Path, dtype: type | Mapping[str, type] | None = None, needed: Collection[str] = ()
) -> pd.DataFrame:
    """Read a table that `write_table` wrote; `n/a`, its other spellings and empty cells are missing.

    Args:
        file: the table.
        dtype: `str` keeps all columns as words, `{"participant_id": str}` some, so that 007 does not become 7; columns of
            others that hold nothing but numbers, or `True` and `False`, become these.
        needed: columns that must be there.

    Raises:
        OSError: if it cannot be read.
        InputProblems: if it is no tab-separated table in UTF-8, or lacks a column.
    """
    remedy = "a stage did not write it so; move it away and run its stage again"
    try:
        table = read_strictly(Path(file), missing=frozenset(word.casefold() for word in MISSING)).reset_index(drop=True)
    except ValueError as error:
        raise InputProblems(f"Table {file}", [f"It cannot be read ({error}): {remedy}."]) from error
    absent = [name for name in needed if name not in table]
    if absent:
        raise InputProblems(f"Table {file}", [f"It has no column {' and no '.join(absent)}: {remedy}."])
    if dtype is str:
        return table.astype("str")
    kept = set(dtype) if isinstance(dtype, Mapping) else set()
    columns = {name: column.astype("str") if name in kept else _typed(column) for name, column in table.items()}
    return pd.DataFrame(columns, columns=table.columns, index=table.index)


def _typed(column: pd.Series) -> pd.Series:
    """Numbers or switches, if there is nothing else in a column of words."""
    if len(column) and column.isin(["True", "False"]).all():
        return column == "True"
    numbers = pd.to_numeric(column, errors="coerce")
    return numbers if len(column) and numbers.notna().equals(column.notna()) else column.astype("str")


def read_strictly(path: Path, separator: str = "\t", missing: Collection[str] = ANYWHERE) -> pd.DataFrame:
    """A table of a user, all values as text, NaN where a word says that there is none; the index holds lines of the file.

    Args:
        path: of the table; `bundle.data.table_text` says what it may be like.
        separator: tab or comma.
        missing: words for what is missing, in lower case.

    Raises:
        ValueError: for whatever would make a cell another's, such as rows of more or fewer cells than the header.
        OSError: if it cannot be read.
    """
    header, rows, lines = read_cells(path, separator)
    known = _Values(missing)
    cells = np.empty((len(rows), len(header)), dtype=object)
    for number, row in enumerate(rows):
        cells[number] = [known[cell] for cell in row]
    table = pd.DataFrame(cells, index=pd.Index(lines, name="line", dtype=int), columns=header, dtype=object)
    table.attrs[SAID] = {}
    if known.said:
        counts = Counter(cell for row in rows for cell in row if cell in known.said)
        table.attrs[SAID] = dict(counts.most_common())
    return table


def indexed_by(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """A table with one of its columns as index; `set_index` takes minutes where there are 100,000 columns."""
    rest = table[[name for name in table if name != column]]
    rest.index = pd.Index(table[column], name=column)
    return rest


def words_on_missing(table: pd.DataFrame, name: str) -> str:
    """A sentence on cells of a table, called `name`, that are missing by a word; empty if there are none."""
    said = table.attrs.get(SAID) or {}
    few = ", ".join(f"{word!r} ({count})" for word, count in list(said.items())[:MOST_WORDS])
    more = f" and {len(said) - MOST_WORDS} other words" if len(said) > MOST_WORDS else ""
    return f"{name}: {sum(said.values())} cells are missing by what they say: {few}{more}." if said else ""


class _Values(dict[str, object]):
    """Cell -> its value, the same object for the same cell; `said` are the words that were missing by more than n/a."""

    def __init__(self, missing: Collection[str]) -> None:
        super().__init__()
        self.missing = missing
        self.said: set[str] = set()

    def __missing__(self, cell: str) -> object:
        is_missing = cell.casefold() in self.missing
        if is_missing and cell not in MISSING:
            self.said.add(cell)
        self[cell] = np.nan if is_missing else cell
        return self[cell]
