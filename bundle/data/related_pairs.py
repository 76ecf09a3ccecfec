"""Lists of related pairs, from which families are made."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from bundle.data.file_patterns import matching_files
from bundle.data.id_forms import in_words_of
from bundle.data.layouts import Relatives
from bundle.data.problems import InputProblems
from bundle.data.table_text import read_lines, unquoted


def with_prefix(names: pd.Series, prefix: str) -> pd.Series:
    """Ids that all start with a prefix."""
    return names.where(names.str.startswith(prefix), prefix + names)


def read_relatives(
    source: Relatives, folder: Path, prefix: str, known: pd.Index, notes: list[str]
) -> tuple[tuple[str, str], ...]:
    """Pairs of the lists; a list that names no participant of the tables is refused, since their relatives would go unseen."""
    matched = matching_files(folder, source.file)
    if not matched:
        notes.append(
            f"No table of relatives {folder / source.file}: every participant counts as unrelated, and relatives may be on both "
            "sides of the split."
        )
    pairs: list[tuple[str, str]] = []
    for file in matched:
        table = _read_pairs(file)
        absent = [name for name in (*source.columns, source.kinship) if name not in table]
        if absent:
            raise InputProblems("Tables", [f"{file}: expected columns {', '.join(absent)}, got {list(table.columns)}."])
        ids = table[list(source.columns)].apply(with_prefix, prefix=prefix)
        same = in_words_of(pd.unique(ids.to_numpy().ravel()), known)
        ids = ids.replace(same)
        if len(known) and len(ids) and not ids.isin(known).any(axis=None):
            raise InputProblems("Tables", [f"{file}: none of its participants is in the tables, expected ids such as {known[0]}, got {ids.iat[0, 0]}, ...: correct columns of relatives in the layout or the ids, or take relatives out of the layout if it lists none of your participants."])  # fmt: skip
        kinship = pd.to_numeric(table[source.kinship], errors="coerce")
        if kinship.isna().any():
            line = table.index[kinship.isna()][0]
            raise InputProblems("Tables", [f"{file}: line {line}: expected a number as {source.kinship}, got {table[source.kinship][line]!r}."])  # fmt: skip
        near = ids[kinship >= source.at_least]
        pairs += [(str(a), str(b)) for a, b in near.to_numpy()]
    return tuple(pairs)


def _read_pairs(file: Path) -> pd.DataFrame:
    """A table separated by blanks, tabs, commas or semicolons, words; the index holds lines of the file.

    Raises:
        InputProblems: if it is empty or no text in UTF-8, or has a row of more or fewer cells than its header.
    """
    try:
        lines = [(number, line.strip()) for number, line in enumerate(read_lines(file), 1) if line.strip()]
    except ValueError as error:
        raise InputProblems("Tables", [f"{file} cannot be read: {error}."]) from error
    rows = {number: [unquoted(cell) for cell in re.split(r"[\s,;]+", line)] for number, line in lines}
    if not rows:
        raise InputProblems("Tables", [f"{file} is empty: expected related pairs, or take it away."])
    first, *others = rows
    wrong = [number for number in others if len(rows[number]) != len(rows[first])]
    if wrong:
        raise InputProblems(
            "Tables", [f"{file}: line {wrong[0]} has {len(rows[wrong[0]])} cells, the header {len(rows[first])}."]
        )
    return pd.DataFrame([rows[number] for number in others], columns=rows[first], index=others, dtype=object)
