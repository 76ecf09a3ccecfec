"""Tables that stages leave for people, for other programs and for each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bundle.data.atomic import atomic_path
from bundle.data.datalist import MISSING


def write_table(table: pd.DataFrame, file: str | Path) -> None:
    """Write a tab-separated table in UTF-8, whole or not at all.

    Args:
        table: a header and a row per record; its index is not written. Numbers that are no integers are rounded to six
            significant digits; missing values are written as `n/a`, as BIDS does.
        file: where to; its folder is made.

    Raises:
        OSError: as the writing did; what was at `file` before is untouched.
    """
    with atomic_path(file) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format="%.6g", na_rep="n/a")


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
