"""Families and covariates of the people whose embeddings are analysed."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bundle.data.datalist import read_participants
from bundle.data.problems import InputProblems
from bundle.paths import DATALIST, PREPARED, stage_folder

logger = logging.getLogger(__name__)
USUAL = "usual"
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
        Table with index `participant_id`; columns of numbers are numbers, all others text.

    Raises:
        InputProblems: if there is no table, or somebody is not in it.
    """
    table = _read(output_dir, participants).set_index("participant_id")
    absent = [name for name in names if name not in table.index]
    if absent:
        raise InputProblems(
            "Participants",
            [f"{name}: has an embedding but no row in the participants table: add the row." for name in absent],
        )
    table = table.loc[list(names)]
    if table["family_id"].nunique() == len(table):
        logger.warning(
            "Nobody shares a family_id: everybody counts as unrelated. If there are relatives, add that column."
        )
    for column in table.columns.difference(["family_id", *categories]):
        numbers = pd.to_numeric(table[column], errors="coerce")
        if numbers.notna().equals(table[column].notna()):
            table[column] = numbers
    return table


def _read(output_dir: str, participants: str | None) -> pd.DataFrame:
    if participants is not None:
        return read_participants(Path(participants).expanduser())
    file = stage_folder(output_dir, PREPARED) / DATALIST
    if not file.is_file():
        raise InputProblems(
            "Participants",
            [f"No {file}, so families are not known: give --participants, a table with participant_id and family_id."],
        )
    datalist = json.loads(file.read_text())
    source = Path(datalist["dataset_dir"])
    if source.is_dir():
        return read_participants(source)
    people = [item for section in datalist.values() if isinstance(section, list) for item in section]
    return pd.DataFrame(
        [
            {"participant_id": item["participant_id"], "family_id": item["family_id"]}
            for item in people
            if isinstance(item, dict)
        ]
    )


def covariate_columns(table: pd.DataFrame, wanted: str | Sequence[str]) -> pd.DataFrame:
    """The covariates that are to be taken out of the codes.

    Args:
        table: from `people_table`.
        wanted: column names, or `usual`: those of age_years, sex, head_size_ml, motion_mm and site that are there.

    Raises:
        InputProblems: for named columns that are not there, or values that are missing.
    """
    if isinstance(wanted, str) and wanted == USUAL:
        columns = [name for name in USUAL_COVARIATES if name in table and table[name].nunique(dropna=False) > 1]
        absent = [name for name in USUAL_COVARIATES if name not in columns]
        logger.info("Taken out of the codes: %s.", ", ".join(columns) or "nothing")
        if absent:
            logger.info("Not in the participants table, or the same for everybody: %s.", ", ".join(absent))
    elif isinstance(wanted, str):
        raise InputProblems(
            "Covariates", [f"Expected --covariates usual or a list such as \"['age_years','sex']\", got {wanted!r}."]
        )
    else:
        columns = list(wanted)
    problems = [
        f"No column {name!r} in the participants table: it has {', '.join(map(str, table.columns))}."
        for name in columns
        if name not in table
    ]
    problems += [
        f"{person}: no {name}: fill it in, remove the person, or leave {name} out of --covariates."
        for name in columns
        if name in table
        for person in table.index[table[name].isna()]
    ]
    if problems:
        raise InputProblems("Covariates", problems)
    return table[columns]
