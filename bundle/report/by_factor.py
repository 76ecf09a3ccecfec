"""Tables with a row per phenotype factor."""

from __future__ import annotations

import pandas as pd

from bundle.report.blocks import Column, Table, make_table
from bundle.report.numbers import as_written, digits

NAMED = Column("named", "Factor")


def named(frame: pd.DataFrame) -> pd.DataFrame:
    """With the factor's number and name in one column."""
    return frame.assign(named=frame["factor"] + " " + frame["name"])


def spread(frame: pd.DataFrame, heads: pd.Series, value: str, places: int, caption: str, file: str, note: str) -> Table:
    """A row per factor, a column for each of `heads`, in every cell a value with its interval.

    Args:
        frame: N rows, one for each factor and head: `factor`, `name`, `low`, `high` and the value.
        heads: N headings.
        value: name of the value's column.
        places: decimals.
        caption: of the table.
        file: that holds it.
        note: beneath it.
    """
    write = digits(places)
    cells = [f"{write(row[value])} ({write(row['low'])} to {write(row['high'])})" for row in frame.to_dict("records")]
    names = list(dict.fromkeys(heads))
    wide = named(frame).assign(head=heads, cell=cells).pivot_table("cell", "named", "head", aggfunc="first", sort=False)
    columns = [NAMED, *[Column(name, name, as_written) for name in names]]
    return make_table(wide.reset_index(), columns, caption, file, note)
