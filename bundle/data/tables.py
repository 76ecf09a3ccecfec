"""Tables that stages leave for people, for other programs and for each other."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bundle.data.atomic import atomic_path

MISSING = ["n/a", "N/A", "NA", "NaN", "nan", ""]
"""Words for a value that is not there; the first is that of BIDS."""
SEPARATORS = {"\t": "tabs", ",": "commas", ";": "semicolons"}


def write_table(table: pd.DataFrame, file: str | Path) -> None:
    """Write a tab-separated table in UTF-8, whole or not at all.

    Args:
        table: a header and a row per record; its index is not written. Numbers that are no integers are rounded to six
            significant digits; values that are not there become `n/a`.
        file: where to; its folder is made.

    Raises:
        OSError: as the writing did; what was at `file` before is untouched.
    """
    with atomic_path(file) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format="%.6g", na_rep=MISSING[0])


def read_table(file: str | Path, dtype: type | Mapping[str, type] | None = None) -> pd.DataFrame:
    """Read a table that `write_table` wrote; `n/a`, its other spellings and empty cells are missing.

    Args:
        file: the table.
        dtype: of all columns or of some, such as `{"participant_id": str}`, which keeps 007 from becoming 7; the types
            of the others are guessed.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no tab-separated table in UTF-8.
    """
    return pd.read_csv(file, sep="\t", dtype=dtype, keep_default_na=False, na_values=MISSING, encoding="utf-8")


def read_strictly(path: Path, separator: str = "\t") -> pd.DataFrame:
    """A user's table, all values as text; words for what is missing are those of `MISSING`.

    Blanks around values and names of columns do not count: `F1` and `F1 ` would be two families.

    Raises:
        ValueError: if it is empty, not in UTF-8, separated otherwise, has rows of more fields than its header, or two columns of
            one name.
    """
    how: dict[str, Any] = {"sep": separator, "dtype": str, "encoding": "utf-8-sig", "keep_default_na": False}
    header = pd.read_csv(path, header=None, nrows=1, **how).iloc[0].str.strip()
    others = [word for mark, word in SEPARATORS.items() if mark != separator and mark in header[0]]
    if len(header) == 1 and others:
        raise ValueError(f"its columns are separated by {others[0]}, expected {SEPARATORS[separator]}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "error", pd.errors.ParserWarning
            )  # rows of more fields than the header: a decimal comma, a tab too many
            table = pd.read_csv(path, index_col=False, **how)
    except pd.errors.ParserWarning as error:
        raise ValueError(str(error)) from error
    twice = sorted(set(header[header.duplicated() & (header != "")]))
    if twice:
        raise ValueError(f"two columns are called {' and '.join(twice)}: keep one")
    table.columns = table.columns.str.strip()
    return table.apply(lambda column: column.str.strip()).replace(MISSING, np.nan)
