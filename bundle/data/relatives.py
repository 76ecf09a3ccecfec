"""Relatives whom a table puts into several families: participants of a test would be known to the training by them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from bundle.data.families import known_families
from bundle.data.id_forms import in_words_of
from bundle.data.relative_columns import PERSON_COLUMN, is_relative_column, plain

ZYGOSITY_COLUMNS = ("zygosity", "zygositygt", "zygositysr")
IDENTICAL = ("mz", "monozygotic")
TWIN = (*IDENTICAL, "dz", "dizygotic", "notmz")
"""Words for twins in those columns, in any case; `NotMZ` is HCP's."""
AGE_COLUMNS = ("age_years", "age", "age_in_yrs")
LOOKED_AT = (*ZYGOSITY_COLUMNS, *AGE_COLUMNS, "sex")
APART = ", but stand in several families: give them one family_id."


def relatives_apart(table: pd.DataFrame, families: Mapping[str, str]) -> list[str]:
    """A sentence for each group that the participants table says are relatives but who are in several families.

    Said are equal values in columns that name relatives (`is_relative_column`); a value that is a participant's id means that
    participant, words that mean no family mean no participant. Where only `zygosity` says who is a twin, two who are each the only such
    twin of their family, and alike in age (and sex, if identical), are taken for a pair; that needs ages with decimals,
    since whole years agree by chance.

    Args:
        table: participants, with `participant_id`.
        families: participant id -> family id; others are not looked at.
    """
    told = [name for name in table if is_relative_column(name) or str(name).lower() in LOOKED_AT]
    rows = table["participant_id"].isin(list(families))
    known = table.loc[rows, told].set_index(pd.Index(table["participant_id"][rows]))
    problems: dict[frozenset[str], str] = {}  # one sentence for participants, whatever says so and how often
    relative = [name for name in known.columns if is_relative_column(name)]
    for column, names in relatives_by(known, relative, list(families)):
        if len({families[name] for name in names}) > 1:
            what = "scans of one participant" if plain(column) == plain(PERSON_COLUMN) else "relatives"
            words = f"{_named(names, families)} are {what} by {column}{APART}"
            problems.setdefault(frozenset(names), words)
    if any(plain(name) not in ("familyid", plain(PERSON_COLUMN)) for name in relative):
        return list(problems.values())
    columns = {str(column).lower(): str(column) for column in known.columns}
    return [*problems.values(), *_lone_twins(known, columns, families)]


def relatives_by(
    table: pd.DataFrame, columns: Sequence[str], everybody: Sequence[str]
) -> Iterator[tuple[str, list[str]]]:
    """Groups of participants whom a column of relatives gives one value, with whoever has that value as id.

    Args:
        table: words; the index names participants.
        columns: of ids of relatives, or of families.
        all participants: ids that values may be, however they are written.
    """
    for column in columns:
        known = known_families(table[column]).dropna()
        person = in_words_of(known.unique(), everybody)
        for value, names in known.groupby(known):
            first = [person[value]] if value in person else []
            yield str(column), list(dict.fromkeys([*first, *map(str, names.index)]))


def _lone_twins(known: pd.DataFrame, columns: Mapping[str, str], families: Mapping[str, str]) -> list[str]:
    """Sentences on twins by zygosity who lack a twin in their own family and are like each other."""
    zygosity, age = (_first(columns, names) for names in (ZYGOSITY_COLUMNS, AGE_COLUMNS))
    if zygosity is None or age is None:
        return []
    ages = pd.to_numeric(known[age], errors="coerce")
    if not (ages % 1).any():
        return []
    kinds = known[zygosity].astype(str).str.lower()
    twins = kinds[kinds.isin(TWIN) & ages.notna()]
    own = pd.Series([f"{families[str(name)]} {kind}" for name, kind in twins.items()], index=twins.index)
    groups: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for name, kind in twins[own.map(own.value_counts()) == 1].items():
        sex = known[columns["sex"]][name] if kind in IDENTICAL and "sex" in columns else None
        groups[kind, ages[name], sex].append(str(name))
    return [
        f"{_named(names, families)} are twins of like age by {zygosity}{APART} If their twins are not in the cohort, "
        f"write n/a as their {zygosity}."
        for names in groups.values()
        if len(names) > 1
    ]


def _first(columns: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((columns[name] for name in names if name in columns), None)


def _named(names: Sequence[str], families: Mapping[str, str]) -> str:
    return " and ".join(f"{name} (family {families[name].removeprefix('family ')})" for name in names)
