"""What phenotyping is given: settings, strata, items, covariates and kinship, checked."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bundle.analysis.phenotype_cohort import Cohort, FactorSettings, analysed_people
from bundle.analysis.phenotyping import TestSettings
from bundle.data.embedding_table import EmbeddingTable, read_embedding_table
from bundle.data.items import read_items
from bundle.data.json_files import read_json
from bundle.data.people import USUAL, check_categories, covariate_columns, people_table
from bundle.data.problems import InputProblems
from bundle.data.tables import read_table
from bundle.paths import CLUSTERS, DATALIST, EMBEDDINGS, PHENOTYPES, PREPARED, beside_datalist, stage_folder
from bundle.sites.inputs import site_labels, with_site
from bundle.sites.phenotypes import covariates_of_scores, sites_of_codes

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Given:
    """What phenotyping is given.

    Attributes:
        cohort: all participants who are embedded, with phenotypes.
        clusters: N rows, `strata.tsv` of clustering.
        found: its `summary.json`.
        flow: from all participants who are embedded to those who are analysed.
        left_out: who is not, and why.
    """

    cohort: Cohort
    clusters: pd.DataFrame
    found: Mapping[str, Any]
    flow: pd.DataFrame
    left_out: pd.DataFrame


def read_given(
    output_dir: str,
    phenotypes: str | None,
    dictionary: str | Mapping[str, Any] | None,
    id_column: str,
    embeddings: str | None,
    participants: str | None,
    covariates: str | Sequence[str] | None,
    categories: Sequence[str],
    site: str | None,
    harmonise: str | None,
    kinship: str | None,
    settings: FactorSettings,
) -> Given:
    """Read embeddings, strata, participants and items; for the meaning of the options see `phenotype`.

    Raises:
        InputProblems: with all that is wrong with one of them.
    """
    table = read_embedding_table(embeddings if embeddings else stage_folder(output_dir, EMBEDDINGS))
    clusters, found = read_clusters(output_dir, table)
    people = people_table(table.participant_ids.tolist(), output_dir, participants, with_site(categories, site))
    check_categories(people, categories)
    labels = site_labels(people, site)
    sites = sites_of_codes(people, labels, found)
    taken_out = chosen_covariates(people, covariates, found["covariates"], None if sites is None else site)
    out_of_scores, sites_of_scores = covariates_of_scores(people, taken_out, labels, sites, harmonise)
    items = read_items(items_file(output_dir, phenotypes), dictionary, id_column).with_ids_of(
        table.participant_ids.tolist()
    )
    rows, flow, left_out = analysed_people(items, people, settings)
    cohort = Cohort(
        table=table,
        codes=table.codes.astype(float),
        people=people,
        taken_out=taken_out,
        out_of_scores=out_of_scores,
        items=items,
        rows=rows,
        kinds=kinds_of_people(people, kinship),
        splines=found["settings"]["splines"],
        labels=labels,
        sites=sites,
        sites_of_scores=sites_of_scores,
    )
    return Given(cohort, clusters, found, flow, left_out)


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
        InputProblems: if they are not there, or are of an earlier version, another encoder or other participants.
    """
    folder = stage_folder(output_dir, CLUSTERS)
    if not (folder / "summary.json").is_file() or not (folder / "strata.tsv").is_file():
        raise InputProblems("Strata", [f"No strata in {folder}: run clustering first."])
    found = read_json(folder / "summary.json")
    if "splines" not in found.get("settings", {}):
        raise InputProblems("Strata", [f"{folder} was written by an earlier version: run clustering again."])
    strata = read_table(folder / "strata.tsv", {"participant_id": str}, ("participant_id", "stratum")).set_index(
        "participant_id"
    )
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
            [
                f"{folder} and the embeddings hold different participants ({', '.join(differing[:3])}): run clustering again."
            ],
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
            "Phenotypes", [f"The cohort has no {PHENOTYPES}: give --phenotypes, a table with a row per participant."]
        )
    return table


def chosen_covariates(
    people: pd.DataFrame,
    wanted: str | Sequence[str] | None,
    by_clustering: Sequence[str],
    harmonised: str | None = None,
) -> pd.DataFrame:
    """N rows of what is regressed out: the columns wanted, or else those that clustering took out, or the usual ones.

    The site is not among them if clustering harmonised codes over it: that column is `harmonised`.

    Raises:
        InputProblems: if a column cannot be used, or clustering took out others.
    """
    # clustering that only harmonised was told to take nothing else out
    nothing = [] if harmonised is not None else USUAL
    table = covariate_columns(people, wanted if wanted is not None else (list(by_clustering) or nothing), harmonised)
    if by_clustering and set(by_clustering) != set(table):
        raise InputProblems(
            "Covariates",
            [
                f"Clustering took {', '.join(by_clustering)} out of the embeddings, --covariates names "
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
