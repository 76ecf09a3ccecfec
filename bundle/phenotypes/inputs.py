"""What phenotyping is given: settings, strata, items, covariates and kinship, checked."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bundle.analysis.phenotype_cohort import FactorSettings
from bundle.analysis.phenotyping import TestSettings
from bundle.data.datalist import read_json
from bundle.data.embedding_table import EmbeddingTable
from bundle.data.people import USUAL, covariate_columns
from bundle.data.problems import InputProblems
from bundle.data.tables import read_table
from bundle.paths import CLUSTERS, DATALIST, PHENOTYPES, PREPARED, beside_datalist, stage_folder

logger = logging.getLogger(__name__)


def checked_settings(
    factors: Mapping[str, Any], tests: Mapping[str, Any], validation_share: float, n_folds: int, n_explained: int
) -> tuple[FactorSettings, TestSettings]:
    """Settings of factors and tests, once all of the options can be used; for their meaning see `phenotype`.

    Raises:
        InputProblems: for a value out of range or a name that is no setting.
    """
    problems = []
    if not 0 <= validation_share < 0.9:
        problems.append(f"validation_share: expected 0 to 0.9, got {validation_share}.")
    if n_folds < 2:
        problems.append(f"n_folds: expected 2 or more, got {n_folds}.")
    if n_explained < 2:
        problems.append(f"n_explained: expected 2 or more, got {n_explained}; --use_images False does without images.")
    if problems:
        raise InputProblems("Phenotype settings", problems)
    try:
        return FactorSettings(**factors), TestSettings(**tests)
    except TypeError as error:  # a name that is no setting
        raise InputProblems("Phenotype settings", [str(error)]) from error


def read_clusters(output_dir: str, table: EmbeddingTable) -> tuple[pd.DataFrame, dict[str, Any]]:
    """`strata.tsv`, in the order of the embeddings, and `summary.json` of `5_clusters`.

    Raises:
        InputProblems: if they are not there, or are of an earlier version, another encoder or other people.
    """
    folder = stage_folder(output_dir, CLUSTERS)
    if not (folder / "summary.json").is_file() or not (folder / "strata.tsv").is_file():
        raise InputProblems("Strata", [f"No strata in {folder}: run clustering first."])
    found = read_json(folder / "summary.json")
    if "splines" not in found.get("settings", {}):
        raise InputProblems("Strata", [f"{folder} was written by an earlier version: run clustering again."])
    strata = read_table(folder / "strata.tsv", {"participant_id": str}).set_index("participant_id")
    made_by = found["encoders"][0]["encoder_hash"]
    if made_by != table.encoder_hash:
        raise InputProblems(
            "Strata",
            [f"{folder} is of encoder {made_by}, the embeddings are of {table.encoder_hash}: run clustering again."],
        )
    differing = sorted(set(strata.index) ^ set(table.participant_ids))
    if differing:
        raise InputProblems(
            "Strata",
            [f"{folder} and the embeddings hold different people ({', '.join(differing[:3])}): run clustering again."],
        )
    return strata.loc[table.participant_ids], found


def items_file(output_dir: str, phenotypes: str | None) -> Path:
    """The items table that was named, or that of the cohort in `1_prepared`.

    Raises:
        InputProblems: if none was named and the cohort has none.
    """
    if phenotypes is not None:
        return Path(phenotypes)
    file = stage_folder(output_dir, PREPARED) / DATALIST
    source = read_json(file).get("dataset_dir", file) if file.is_file() else file
    table = beside_datalist(source, PHENOTYPES)
    if table is None:
        raise InputProblems(
            "Phenotypes", [f"The cohort has no {PHENOTYPES}: give --phenotypes, a table with a row per person."]
        )
    return table


def chosen_covariates(
    people: pd.DataFrame,
    wanted: str | Sequence[str] | None,
    by_clustering: Sequence[str],
    harmonised: str | None = None,
) -> pd.DataFrame:
    """N rows of what is taken out: the columns wanted, or else those that clustering took out, or the usual ones.

    The site is not among them if clustering harmonised codes over it: that column is `harmonised`.

    Raises:
        InputProblems: if a column cannot be used, or clustering took out others.
    """
    nothing = (
        [] if harmonised is not None else USUAL
    )  # clustering that only harmonised was told to take nothing else out
    table = covariate_columns(people, wanted if wanted is not None else (list(by_clustering) or nothing), harmonised)
    if by_clustering and set(by_clustering) != set(table):
        raise InputProblems(
            "Covariates",
            [
                f"Clustering took {', '.join(by_clustering)} out of the codes, --covariates names "
                f"{', '.join(table) or 'none'}: leave --covariates out, or cluster again with the same."
            ],
        )
    return table


def kinds_of_people(people: pd.DataFrame, kinship: str | None) -> np.ndarray | None:
    """`(N,)` what tells members of a family apart; None, with a warning if it was wanted, without such a column."""
    if kinship is None:
        return None
    if kinship not in people:
        logger.warning("No column %s in the participants table: families of one size are exchanged.", kinship)
        return None
    return people[kinship].fillna("n/a").to_numpy(dtype=str)
