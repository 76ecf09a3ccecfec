"""The tables of a source, joined by person: covariates, families and phenotype items, open and restricted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from bundle.data.file_patterns import matching_files
from bundle.data.items import read_by_id
from bundle.data.layouts import ColumnSource, Layout, Relatives, TableSource
from bundle.data.missing_words import MISSING
from bundle.data.near_names import near_name
from bundle.data.problems import InputProblems


@dataclass(frozen=True)
class SourceTables:
    """What a source knows of people.

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


def read_source_tables(layout: Layout, folder: Path) -> SourceTables:
    """Read and join all tables of a layout.

    A person's value is that of the first table that has one; a note says so if later ones differ.

    Raises:
        InputProblems: for tables that are broken or must be there and are not, and for restricted columns that are not there.
    """
    parts: list[pd.DataFrame] = []
    files: list[Path] = []
    notes: list[str] = []
    decoded: list[str] = []
    problems: list[str] = []
    restricted: set[str] = set()
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
            part, words = _without_codes(part, source.missing)
            if words:
                decoded.append(f"{file.name}: {words}")
            if source.restricted:
                restricted |= set(part.columns)
            parts.append(part)
            files.append(file)
    if problems:
        raise InputProblems("Tables", problems)
    values = pd.DataFrame(index=pd.Index([], dtype=str))
    for part, file in zip(parts, files, strict=True):
        names = [name for name in part if name in values]
        first, second = values[names].align(part[names], join="inner")
        differing = (first.ne(second) & first.notna() & second.notna()).any()
        if differing.any():
            told = ", ".join(map(str, differing.index[differing][:5]))
            notes.append(f"{file.name}: {told} differ from the tables before it, whose values are taken.")
        values = values.join(part.drop(columns=names), how="outer")
        values[names] = values[names].fillna(part[names])
    withheld = (*layout.restricted, *layout.restricted_if_there)
    restricted |= {n for n in values if any(fnmatchcase(str(n), pattern) for pattern in withheld)}
    for problems, unmatched in (
        _restricted_that_match_nothing(layout, folder, values),
        _absent_sources(layout, values),
    ):
        if problems:
            raise InputProblems("Tables", problems)
        notes += unmatched
    related: tuple[tuple[str, str], ...] = ()
    if layout.relatives is not None:
        related = _read_relatives(layout.relatives, folder, layout.prefix, values.index, notes)
    return SourceTables(values, frozenset(restricted), tuple(files), tuple(notes), related, tuple(decoded))


def _restricted_that_match_nothing(layout: Layout, folder: Path, values: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Refusals and notes: a misspelt restricted column would be passed on, so only a table that is not there excuses it."""
    absent = [source.file for source in layout.tables if not matching_files(folder, source.file)]
    problems, notes = [], []
    for pattern in layout.restricted:
        if any(fnmatchcase(str(name), pattern) for name in values):
            continue
        said = f"No column is called {pattern!r}, which the layout says is restricted"
        near = near_name(pattern, [str(name) for name in values])
        if near:
            problems.append(f"{said}: did you mean {near!r}? Until then that column would be passed on.")
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
        if any(fnmatchcase(column, pattern) for column in known for pattern in patterns):
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
    names = _with_prefix(pd.Series(table.index), source.prefix)
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


def _with_prefix(names: pd.Series, prefix: str) -> pd.Series:
    return names.where(names.str.startswith(prefix), prefix + names)


def _read_relatives(
    source: Relatives, folder: Path, prefix: str, known: pd.Index, notes: list[str]
) -> tuple[tuple[str, str], ...]:
    """Pairs of the lists; a list that names nobody of the tables is refused, since their relatives would go unseen."""
    matched = matching_files(folder, source.file)
    if not matched:
        notes.append(
            f"No table of relatives {folder / source.file}: everybody counts as unrelated, and relatives may be on both "
            "sides of the split."
        )
    pairs: list[tuple[str, str]] = []
    for file in matched:
        table = pd.read_csv(file, sep=r"[\s,]+", engine="python", dtype=str)
        absent = [name for name in (*source.columns, source.kinship) if name not in table]
        if absent:
            raise InputProblems("Tables", [f"{file}: expected columns {', '.join(absent)}, got {list(table.columns)}."])
        ids = table[list(source.columns)].apply(_with_prefix, prefix=prefix)
        if len(known) and len(ids) and not ids.isin(known).any(axis=None):
            raise InputProblems("Tables", [f"{file}: none of its people is in the tables, expected ids such as {known[0]}, got {ids.iat[0, 0]}, ...: correct columns of relatives in the layout or the ids, or take relatives out of the layout if it lists none of your people."])  # fmt: skip
        near = ids[pd.to_numeric(table[source.kinship], errors="coerce") >= source.at_least]
        pairs += [(str(a), str(b)) for a, b in near.to_numpy()]
    return tuple(pairs)


def column_values(source: ColumnSource, values: pd.DataFrame, sessions: pd.Series, allowed: set[str]) -> pd.Series:
    """One column of ours: for each person the first source column that is not empty, in our words.

    Args:
        source: of the column.
        values: rows of people, words.
        sessions: of the same people, for `{session}`.
        allowed: columns that may be used.
    """
    result = pd.Series(np.nan, index=values.index, dtype=object)
    for pattern in source.columns:
        for session in sessions.unique():
            name = pattern.replace("{session}", session)
            if name in values and name in allowed:
                rows = (sessions == session) & result.isna()
                result[rows] = values.loc[rows, name]
    return result.map(lambda word: source.values.get(word, word), na_action="ignore").replace(MISSING, np.nan)


def families(tables: SourceTables, layout: Layout, names: Sequence[str], seed: int) -> pd.Series:
    """Family of each person, or NaN; running numbers in random order if the source's own may not be passed on.

    Args:
        tables: of the source.
        layout: its `family_id` names the column; related pairs join these families, or make some.
        names: participant ids.
        seed: of the order.
    """
    index = pd.Index(names)
    source = layout.participants.get("family_id", ColumnSource(()))
    values = tables.values.reindex(index)
    labels = column_values(source, values, pd.Series("", index=index), set(values.columns))
    if not tables.related and not tables.restricted & set(source.columns):
        return labels
    if tables.related:
        labels = _joined(labels, tables.related)
    known = np.random.default_rng(seed).permutation(labels.dropna().unique())
    return labels.map({label: f"family-{number + 1:05d}" for number, label in enumerate(known)}, na_action="ignore")


def _joined(labels: pd.Series, related: Sequence[tuple[str, str]]) -> pd.Series:
    """Families that relatives and members of one family are in, as numbers; everybody has one."""
    position = {name: number for number, name in enumerate(labels.index)}
    pairs = [(position[a], position[b]) for a, b in related if a in position and b in position]
    codes = pd.factorize(labels)[0]
    first = {code: int(np.flatnonzero(codes == code)[0]) for code in np.unique(codes[codes >= 0])}
    pairs += [(first[code], row) for row, code in enumerate(codes) if code >= 0]
    rows, columns = np.array(pairs, dtype=int).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(pairs)), (rows, columns)), shape=(len(labels), len(labels)))
    return pd.Series(connected_components(graph, directed=False)[1], index=labels.index).astype(object)


def participants_of(
    tables: SourceTables, layout: Layout, sessions: Mapping[str, str], seed: int, with_restricted: bool
) -> pd.DataFrame:
    """Covariates of people: index `participant_id`, `family_id`, then the layout's other columns that have a value.

    Args:
        tables: of the source.
        layout: says which columns.
        sessions: participant id -> session ("" if there are none); the people wanted.
        seed: of the order of families' numbers.
        with_restricted: whether restricted columns may be used; families always are, as running numbers.
    """
    names = list(sessions)
    values = tables.values.reindex(names)
    allowed = set(values.columns) - (set() if with_restricted else tables.restricted)
    table = pd.DataFrame({"family_id": families(tables, layout, names, seed)})
    for name, source in layout.participants.items():
        if name != "family_id":
            table[name] = column_values(source, values, pd.Series(sessions), allowed)
    table.index.name = "participant_id"
    return table.dropna(axis=1, how="all")


def phenotypes_of(
    tables: SourceTables, layout: Layout, names: Sequence[str], wanted: Sequence[str] | None, with_restricted: bool
) -> pd.DataFrame:
    """Phenotype items of people: columns of numbers that the layout allows and that are no covariates.

    Args:
        tables: of the source.
        layout: says which columns may be items.
        names: participant ids.
        wanted: columns, with `*`; None takes those of the layout.
        with_restricted: whether restricted columns may be used.
    """
    values = tables.values.reindex(list(names))
    covariates = [
        column.replace("{session}", "*") for source in layout.participants.values() for column in source.columns
    ]
    taken = {name for name in values if any(fnmatchcase(str(name), pattern) for pattern in covariates)}
    taken |= {image.column for image in layout.images.values()}
    if not with_restricted:
        taken |= tables.restricted
    patterns = layout.phenotypes if wanted is None else wanted
    items = {}
    for name, column in values.items():
        if name in taken or not any(fnmatchcase(str(name), pattern) for pattern in patterns):
            continue
        numbers = pd.to_numeric(column, errors="coerce")
        if numbers.notna().any() and not (numbers.isna() & column.notna()).any():
            items[name] = column
    table = pd.DataFrame(items, index=values.index)
    table.index.name = "participant_id"
    return table
