"""Families and covariates of the participants whose embeddings are analysed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from pandas.api.types import is_numeric_dtype

from bundle.data.column_types import typed_columns
from bundle.data.datalist import SECTIONS
from bundle.data.id_forms import in_words_of, joined_twice, too_few_shared
from bundle.data.json_files import read_json
from bundle.data.participants import read_participants
from bundle.data.problems import InputProblems
from bundle.data.relative_columns import PERSON_COLUMN, is_relative_column
from bundle.data.relatives import relatives_apart
from bundle.data.tables import indexed_by
from bundle.paths import DATALIST, PARTICIPANTS, PREPARED, beside_datalist, stage_folder

logger = logging.getLogger(__name__)
USUAL = "usual"
USUAL_CATEGORIES = ("sex", "site")
FEW_LEVELS = 6
"""Levels of a category that are named one by one."""
USUAL_COVARIATES = ("age_years", "sex", "head_size_ml", "motion_mm", "site")


def people_table(
    names: Sequence[str], output_dir: str, participants: str | None, categories: Sequence[str]
) -> pd.DataFrame:
    """One row per name, in that order: `family_id` and whatever else is known.

    Args:
        names: participant ids.
        output_dir: results folder; its `1_prepared/datalist.json` says where the cohort's participants table is.
        participants: a participants table to take instead.
        categories: columns that are categories even if numbers code them.

    Returns:
        Table with index `participant_id`; columns of numbers are numbers, all others text. Ids of relatives are not among
        them.

    Raises:
        InputProblems: if there is no table, a participant is not in it, relatives are in several families, or a column of
            numbers holds words.
    """
    if isinstance(categories, str):
        raise InputProblems("Covariates", [f"Expected --categories as a list such as \"['sex']\", got {categories!r}."])
    everybody = _read(output_dir, participants)
    same = in_words_of(everybody["participant_id"], names)
    everybody["participant_id"] = everybody["participant_id"].map(lambda name: same.get(name, name))
    few = too_few_shared(
        names, everybody["participant_id"], "participants with an embedding", "participants of the participants table"
    )
    if few:
        raise InputProblems("Participants", [few])
    twice = joined_twice(same)
    if twice:
        raise InputProblems("Participants", twice)
    table = indexed_by(everybody, "participant_id")
    absent = [name for name in names if name not in table.index]
    if absent:
        raise InputProblems(
            "Participants",
            [f"{name}: has an embedding but no row in the participants table: add the row." for name in absent],
        )
    table = table.loc[list(names)]
    problems = relatives_apart(everybody, table["family_id"].to_dict())
    others = [name for name in table if name != "family_id" and not is_relative_column(name)]
    typed, mixed = typed_columns(table[others], categories)
    if problems + mixed:
        raise InputProblems("Participants", problems + mixed)
    kept = [name for name in table if name in ("family_id", PERSON_COLUMN) or name in typed]
    named = {name: table[name] for name in ("family_id", PERSON_COLUMN) if name in table}
    return typed.assign(**named)[kept]


def check_categories(table: pd.DataFrame, categories: Sequence[str]) -> None:
    """Refuse categories that are no columns, since the column that is meant would count as a number.

    Args:
        table: from `people_table`.
        categories: that the user names; `sex` and `site`, the usual ones, need not be there.

    Raises:
        InputProblems: with each, and the columns that there are.
    """
    unknown = [name for name in categories if name not in table and name not in USUAL_CATEGORIES]
    known = ", ".join(map(str, table.columns))
    problems = [
        f"--categories names {name!r}, the participants table has {known}: correct the name." for name in unknown
    ]
    if problems:
        raise InputProblems("Covariates", problems)


def _read(output_dir: str, participants: str | None) -> pd.DataFrame:
    if participants is not None:
        return read_participants(Path(participants).expanduser())
    file = stage_folder(output_dir, PREPARED) / DATALIST
    if not file.is_file():
        raise InputProblems(
            "Participants",
            [
                f"No {file}, so families and covariates are not known: give --participants, a table with participant_id, "
                "covariates and, for clustering, family_id."
            ],
        )
    datalist = read_json(file)
    source = Path(datalist.get("dataset_dir", file))
    table = beside_datalist(source, PARTICIPANTS)
    if table is not None or source.is_dir():
        return read_participants(table or source)
    logger.warning(
        "%s has no participants.tsv beside it, so only families are known; give --participants for covariates.", source
    )
    people = [item for section in SECTIONS for item in datalist.get(section, [])]
    return pd.DataFrame([{name: item[name] for name in ("participant_id", "family_id")} for item in people])


def covariate_columns(
    table: pd.DataFrame, wanted: str | Sequence[str] | None, harmonised: str | None = None
) -> pd.DataFrame:
    """The covariates that are to be regressed out of the embeddings.

    Args:
        table: from `people_table`.
        wanted: column names, None for none, or `usual`: those of age_years, sex, head_size_ml, motion_mm and site that are there.
        harmonised: a column that is seen to in another way, and so is not among them.

    Raises:
        InputProblems: for named columns that are not there, or values that are missing.
    """
    if wanted is None:
        wanted = []
    if isinstance(wanted, str) and wanted == USUAL:
        columns = [name for name in USUAL_COVARIATES if name in table and table[name].nunique(dropna=False) > 1]
        absent = [name for name in USUAL_COVARIATES if name not in (*columns, harmonised)]
        if absent:
            logger.warning(
                "Not regressed out, since not in the table or alike for all participants: %s.", ", ".join(absent)
            )
    elif isinstance(wanted, str):
        raise InputProblems(
            "Covariates", [f"Expected --covariates usual or a list such as \"['age_years','sex']\", got {wanted!r}."]
        )
    else:
        columns = list(wanted)
    columns = [name for name in columns if name != harmonised]
    problems = [
        f"No column {name!r} in the participants table: it has {', '.join(map(str, table.columns))}."
        for name in columns
        if name not in table
    ]
    problems += [
        f"{person}: no {name}: fill it in, remove the participant, or do without {name}."
        for name in columns
        if name in table
        for person in table.index[table[name].isna()]
    ]
    problems += [
        f"{name}: {' and '.join(alike)} count as different: write one of them."
        for name in columns
        if name in table and not is_numeric_dtype(table[name])
        for alike in _spelled_alike(table[name])
    ]
    if problems:
        raise InputProblems("Covariates", problems)
    if columns:
        logger.info(
            "Regressed out of the embeddings: %s.", ", ".join(f"{name} ({_kind(table[name])})" for name in columns)
        )
    return table[columns]


def _spelled_alike(values: pd.Series) -> list[list[str]]:
    """Levels that differ in upper and lower case alone."""
    levels = pd.Series(sorted(values.dropna().unique()), dtype=str)
    return [group.tolist() for _, group in levels.groupby(levels.str.casefold()) if len(group) > 1]


def _kind(values: pd.Series) -> str:
    """`number`, or the levels of a category."""
    levels = sorted(values.unique())
    if is_numeric_dtype(values):
        return "number"
    return ", ".join(levels) if len(levels) <= FEW_LEVELS else f"{len(levels)} categories"
