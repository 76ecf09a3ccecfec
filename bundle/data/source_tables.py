"""The tables of a source, joined by participant: covariates, families and phenotype items, open and restricted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from bundle.data.column_names import as_yaml_reads, is_any_of, is_called
from bundle.data.file_patterns import matching_files
from bundle.data.id_forms import in_words_of, joined_twice, too_few_shared
from bundle.data.items import read_by_id
from bundle.data.layouts import ColumnSource, Layout, TableSource
from bundle.data.missing_words import MISSING
from bundle.data.near_names import near_name
from bundle.data.problems import InputProblems
from bundle.data.related_pairs import read_relatives, with_prefix
from bundle.data.relative_columns import plain
from bundle.data.tables import words_on_missing


@dataclass(frozen=True)
class SourceTables:
    """What a source knows of participants.

    Attributes:
        values: a row per id, a column per name, all words; missing ones are NaN.
        restricted: columns that may not be passed on.
        files: those that were read.
        notes: sentences on what is missing or differs.
        related: pairs of ids of relatives, where the source lists such.
        decoded: sentences on codes that became missing values.
    """

    values: pd.DataFrame
    restricted: frozenset[str] = frozenset()
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    related: tuple[tuple[str, str], ...] = field(default=())
    decoded: tuple[str, ...] = ()


def read_source_tables(layout: Layout, folder: Path, on_disk: Collection[str] = ()) -> SourceTables:
    """Read and join all tables of a layout.

    A participant's value is that of the first table that has one; a note says so if later ones differ. Ids are joined by
    `id_form`, and written as the files on disk have them, or else as the first table.

    Args:
        layout: says which tables.
        folder: of these.
        on_disk: ids that file names hold.

    Raises:
        InputProblems: for tables that are broken, must be there and are not, or are about other participants, and for restricted
            columns that are not there.
    """
    parts: list[tuple[Path, TableSource, pd.DataFrame]] = []
    notes: list[str] = []
    decoded: list[str] = []
    problems: list[str] = []
    for source in layout.tables:
        matched = matching_files(folder, source.file)
        if not matched and source.required:
            problems.append(f"No table {folder / source.file}: put it there, or say where tables are by --tables_dir.")
        elif not matched and source.warning:
            notes.append(f"No table {folder / source.file}: {source.warning}")
        for file in matched:
            try:
                part = _read(file, source)
            except InputProblems as error:
                problems += error.problems
                continue
            said = words_on_missing(part, file.name)
            part, words = _without_codes(part, source.missing)
            decoded += [word for word in (said, f"{file.name}: {words}" if words else "") if word]
            parts.append((file, source, part))
    if problems:
        raise InputProblems("Tables", problems)
    parts = _with_ids_of(parts, on_disk)
    restricted = {name for _, source, part in parts if source.restricted for name in part}
    values = _joined_tables(parts, notes)
    withheld = (*layout.restricted, *layout.restricted_if_there)
    restricted |= {name for name in values if is_any_of(name, withheld)}
    for problems, unmatched in (
        _restricted_that_match_nothing(layout, folder, values, restricted),
        _absent_sources(layout, values),
    ):
        if problems:
            raise InputProblems("Tables", problems)
        notes += unmatched
    related: tuple[tuple[str, str], ...] = ()
    if layout.relatives is not None:
        related = read_relatives(layout.relatives, folder, layout.prefix, values.index, notes)
    files = tuple(file for file, _, _ in parts)
    return SourceTables(values, frozenset(restricted), files, tuple(notes), related, tuple(decoded))


Parts = list[tuple[Path, TableSource, pd.DataFrame]]


def _with_ids_of(parts: Parts, on_disk: Collection[str]) -> Parts:
    """The tables with each participant's id written in one way.

    Raises:
        InputProblems: if two rows of a table are one participant, or a table has no participant in common with images and other tables.
    """
    known = list(on_disk)
    joined: Parts = []
    problems: list[str] = []
    for file, source, part in parts:
        same = in_words_of(part.index, known)
        problems += [f"{file}: {sentence}" for sentence in joined_twice(same)]
        part = part.rename(index=same)
        known += [name for name in part.index if name not in same.values()]
        joined.append((file, source, part))
    for source in dict.fromkeys(source for _, source, _ in joined):
        own = {name for _, other, part in joined if other is source for name in part.index}
        others = {name for _, other, part in joined if other is not source for name in part.index}
        few = too_few_shared(own, set(on_disk), f"participants of {source.file}", "participants with files")
        if few and on_disk and (not others or too_few_shared(own, others, "", "")):
            problems.append(f"{few[:-1]}, or take the table out of the layout.")
    if problems:
        raise InputProblems("Tables", problems)
    return joined


def _joined_tables(parts: Parts, notes: list[str]) -> pd.DataFrame:
    values = pd.DataFrame(index=pd.Index([], dtype=str))
    for file, _, part in parts:
        names = [name for name in part if name in values]
        first, second = values[names].align(part[names], join="inner")
        differing = (first.ne(second) & first.notna() & second.notna()).any()
        if differing.any():
            told = ", ".join(map(str, differing.index[differing][:5]))
            notes.append(f"{file.name}: {told} differ from the tables before it, whose values are taken.")
        values = values.join(part.drop(columns=names), how="outer")
        if names:
            values[names] = values[names].fillna(part[names])
    return values


def _restricted_that_match_nothing(
    layout: Layout, folder: Path, values: pd.DataFrame, restricted: Collection[str]
) -> tuple[list[str], list[str]]:
    """Refusals and notes: a misspelt restricted column would be passed on, so only a table that is not there excuses it."""
    absent = [source.file for source in layout.tables if not matching_files(folder, source.file)]
    free = [str(name) for name in values if name not in restricted]
    problems, notes = [], []
    for name in (*layout.restricted, *layout.restricted_if_there):
        if any(is_called(column, name) for column in values):
            continue
        said = f"No column is called {name!r}, which the layout says is restricted"
        may_be_absent = name not in layout.restricted
        alike = next((column for column in free if plain(column) == plain(name)), "")
        near = alike or ("" if may_be_absent else near_name(name, [str(column) for column in values]))
        if near:
            problems.append(f"{said}: did you mean {near!r}? Until then that column would be passed on.")
        elif may_be_absent:
            continue
        elif absent:
            notes.append(f"{said}; perhaps it is in {' or '.join(absent)}, which is not there.")
        else:
            problems.append(f"{said}: correct it, or move it to restricted_if_there if only some exports have it.")
    return problems, notes


def _absent_sources(layout: Layout, values: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Refusals and notes on our columns that nothing in the tables stands for."""
    known = [str(name) for name in values]
    problems, notes = [], []
    for name, source in layout.participants.items():
        patterns = [column.replace("{session}", "*") for column in source.columns]
        if any(is_any_of(column, patterns) for column in known) or set(patterns) & set(as_yaml_reads(known)):
            continue
        near = next(filter(None, (near_name(pattern, known) for pattern in patterns)), "")
        said = f"{name}: none of its columns ({', '.join(source.columns)}) is in the tables"
        if near and name == "family_id":
            problems.append(f"{said}: did you mean {near!r}? Without it relatives would be on both sides of the split.")
        else:
            meant = f"; did you mean {near!r}?" if near else ""
            unknown = "; relatives may be on both sides of the split" if name == "family_id" and not layout.relatives else ""  # fmt: skip
            notes.append(said + unknown + meant)
    return problems, notes


def _read(file: Path, source: TableSource) -> pd.DataFrame:
    table = read_by_id(file, source.key, "as key of this table in the layout")
    names = with_prefix(pd.Series(table.index), source.prefix)
    twice = sorted(set(names[names.duplicated()]))
    if twice:
        raise InputProblems(f"Table {file}", [f"{name}: stands twice, with and without {source.prefix!r}: keep one." for name in twice])  # fmt: skip
    table.index = pd.Index(names, name="participant_id")
    return table


def _without_codes(table: pd.DataFrame, codes: Sequence[str]) -> tuple[pd.DataFrame, str]:
    """A table in which codes for a missing value are missing, and in words how many there were.

    Args:
        table: words.
        codes: whole numbers. Columns that hold anything else than whole numbers keep theirs: -1 is a deprivation index there.
    """
    changed: dict[str, pd.Series] = {}
    count = 0
    for name, column in table.items() if codes else ():
        numbers = pd.to_numeric(column, errors="coerce")
        is_code = numbers.isin([float(code) for code in codes])
        is_whole = numbers.notna().eq(column.notna()).all() and (numbers.dropna() % 1 == 0).all()
        if is_code.any() and is_whole:
            changed[str(name)] = column.mask(is_code)
            count += int(is_code.sum())
    if not count:
        return table, ""
    said = (
        f"codes for a missing value ({', '.join(codes)}) became missing, {count} in all."  # columns may be restricted
    )
    return table.assign(**changed), said


def column_values(source: ColumnSource, values: pd.DataFrame, sessions: pd.Series, allowed: set[str]) -> pd.Series:
    """One column of ours: for each participant the first source column that is not empty, in our words.

    Args:
        source: of the column.
        values: rows of participants, words.
        sessions: of the same participants, for `{session}`.
        allowed: columns that may be used.
    """
    result = pd.Series(np.nan, index=values.index, dtype=object)
    read: dict[str, str] = {}
    for pattern in source.columns:
        for session in sessions.unique():
            name = pattern.replace("{session}", session)
            if name not in values:
                read = read or as_yaml_reads(values)
                name = read.get(name, name)
            if name in values and name in allowed:
                rows = (sessions == session) & result.isna()
                result[rows] = values.loc[rows, name]
    return result.map(source.translated, na_action="ignore").replace(list(MISSING), np.nan)
