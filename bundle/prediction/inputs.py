"""What `predicting` is given: targets, features and who the network was trained on, checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from bundle.analysis.held_out_figures import LEAST_FOR_INTERVAL
from bundle.analysis.prediction import Target
from bundle.data.feature_table import FeatureTable, read_feature_table
from bundle.data.json_files import read_json
from bundle.data.people import check_categories, people_table
from bundle.data.problems import InputProblems
from bundle.paths import BEST_MODEL, DATALIST, EMBEDDINGS, PREPARED, TRAINING, stage_folder
from bundle.trained.encoder_hash import encoder_hash_of
from bundle.trained.weights import read_weights

EMBEDDING, REGIONS, COVARIATES = "embedding", "regions", "covariates"
ALL, HELD_OUT = "all", "held out"
NOT_A_TARGET = "family_id"


@dataclass(frozen=True)
class Sources:
    """Where features come from.

    Args:
        embeddings: `embeddings.npz`, its folder or `embeddings.tsv`; None takes `<output_dir>/4_embeddings`.
        also: name -> file of another embedding of the same participants: principal components, a linear embedding.
        regions: table of `participant_id` and columns of numbers, such as regional volumes; None for none.
        covariates: columns of the participants table that predict by themselves, such as head size.
    """

    embeddings: str | None = None
    also: Mapping[str, str] = field(default_factory=dict)
    regions: str | None = None
    covariates: Sequence[str] = ()

    def __post_init__(self) -> None:
        problems = []
        if not isinstance(self.also, Mapping):
            problems.append(f"--also: expected \"{{'pca': 'pca.tsv'}}\", got {self.also!r}.")
        else:
            taken = sorted({EMBEDDING, REGIONS, COVARIATES} & set(self.also))
            problems += [f"--also: {name!r} is the name of other features: give it another one." for name in taken]
        if isinstance(self.covariates, str):
            problems.append(f"--covariates: expected a list such as \"['head_size_ml']\", got {self.covariates!r}.")
        if problems:
            raise InputProblems("Features", problems)


@dataclass(frozen=True)
class PredictionInputs:
    """Features and participants.

    Attributes:
        people: N rows with index `participant_id`; `family_id` and whatever else is known.
        features: name -> `(N, P)`, the embedding first.
        unlike_units: names of features whose columns have units of their own.
        encoder_hash: of the network; None if the embeddings do not say.
        used: `(N,)` whether the network was trained on the participant or its epoch chosen by them; None if that is not known.
        left_out: `participant_id` and `reason` of who has an embedding but lacks other features.
    """

    people: pd.DataFrame
    features: Mapping[str, np.ndarray]
    unlike_units: tuple[str, ...]
    encoder_hash: str | None
    used: np.ndarray | None
    left_out: pd.DataFrame

    @property
    def families(self) -> np.ndarray:
        """`(N,)` names."""
        return self.people["family_id"].to_numpy(dtype=str)

    def is_held_out(self, rows: np.ndarray) -> np.ndarray:
        """Whether the network was neither trained nor chosen on them; True also where that is not known."""
        return np.ones(len(rows), dtype=bool) if self.used is None else ~self.used[rows]

    def groups(self, rows: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Whom figures are of: all of these rows and, if that is known, those held out, as positions in `rows`."""
        yield ALL, np.arange(len(rows))
        held_out = np.flatnonzero(self.is_held_out(rows))
        if self.used is not None and len(held_out):
            yield HELD_OUT, held_out


def read_inputs(
    output_dir: str, sources: Sources, participants: str | None, categories: Sequence[str], targets: Sequence[str]
) -> PredictionInputs:
    """Read features and participants; who lacks some of the features is left out, since all are compared on the same participants.

    Raises:
        InputProblems: for files that cannot be used, features that no participant of the embeddings has, columns that are not there, and
            targets that are among the features.
    """
    tables = {EMBEDDING: read_feature_table(sources.embeddings or stage_folder(output_dir, EMBEDDINGS))}
    tables |= {name: read_feature_table(file) for name, file in sources.also.items()}
    if sources.regions is not None:
        tables[REGIONS] = read_feature_table(sources.regions)
    names = list(tables[EMBEDDING].participant_ids)
    people = people_table(names, output_dir, participants, categories)
    check_categories(people, categories)
    _check_targets(people, tables, sources.covariates, targets)
    lacks: dict[str, str] = {}
    for table, own in tables.items():
        known = set(own.participant_ids)
        lacks |= {name: f"not in {table}" for name in names if name not in known}
    for column in sources.covariates:
        lacks |= {str(name): f"no {column}" for name in people.index[people[column].isna()]}
    kept = [name for name in names if name not in lacks]
    if not kept:
        raise InputProblems(
            "Features", [f"No participant has all features ({', '.join(tables)}): make the ids the same."]
        )
    features = {name: table.of(kept) for name, table in tables.items()}
    people = people.loc[kept]
    if sources.covariates:
        columns = pd.get_dummies(people[list(sources.covariates)], drop_first=True, dtype=float)
        features[COVARIATES] = columns.to_numpy(dtype=float)
    used = used_by_network(output_dir, tables[EMBEDDING].encoder_hash)
    return PredictionInputs(
        people,
        features,
        (REGIONS, COVARIATES),
        tables[EMBEDDING].encoder_hash,
        None if used is None else np.array([name in used for name in kept]),
        pd.DataFrame({"participant_id": list(lacks), "reason": list(lacks.values())}),
    )


def _check_targets(
    people: pd.DataFrame, tables: Mapping[str, FeatureTable], covariates: Sequence[str], targets: Sequence[str]
) -> None:
    problems = []
    if isinstance(targets, str) or not targets:
        problems.append(f"--targets: expected a list such as \"['age_years', 'sex']\", got {targets!r}.")
        targets = []
    columns = [str(column) for column in people if column != NOT_A_TARGET]
    for option, named in (("targets", targets), ("covariates", covariates)):
        problems += [
            f"--{option} names {name!r}, the participants table has {', '.join(columns)}: correct the name."
            for name in named
            if name not in columns
        ]
    problems += [
        f"{name} is a target and a covariate: it would predict itself." for name in set(targets) & {*covariates}
    ]
    problems += [
        f"{name} is a target and a column of {table}, which would predict it: remove the column."
        for table, own in tables.items()
        for name in targets
        if name in own.columns
    ]
    if problems:
        raise InputProblems("Prediction", problems)


def used_by_network(output_dir: str, encoder_hash: str | None) -> set[str] | None:
    """Who trained the network of `output_dir` or chose its epoch; None if that network did not make the embeddings, or is not there."""
    datalist, weights = stage_folder(output_dir, PREPARED) / DATALIST, stage_folder(output_dir, TRAINING) / BEST_MODEL
    if encoder_hash is None or not datalist.is_file() or not weights.is_file():
        return None
    state = read_weights(weights)
    if encoder_hash_of(state.get("network", state)) != encoder_hash:
        return None
    content = read_json(datalist)
    return {item["participant_id"] for section in ("training", "validation") for item in content.get(section, [])}


def target_of(values: pd.Series, families: np.ndarray, categories: Sequence[str], n_folds: int) -> Target:
    """A column without missing values as a target: a category if it is text, named as one, or has two values.

    Raises:
        InputProblems: for too few families, a column that is alike for all participants, or a level of too few families to be in every fold.
    """
    name, least = str(values.name), max(n_folds, LEAST_FOR_INTERVAL)
    problems = []
    if len(np.unique(families)) < least:
        problems.append(f"{name}: {len(np.unique(families))} families have it, expected {least} or more.")
    if values.nunique() < 2:
        problems.append(f"{name}: is alike for all participants who have it, so there is nothing to predict.")
    is_number = is_numeric_dtype(values) and name not in categories and values.nunique() > 2
    if is_number and not problems:
        return Target(name, values.to_numpy(dtype=float))
    levels = sorted(values.astype(str).unique())
    for level in [] if is_number else levels:
        n_families = len(np.unique(families[values.astype(str) == level]))
        if n_families < n_folds:
            problems.append(
                f"{name}: {level!r} is the value of {n_families} families, expected {n_folds} or more: join levels, write n/a "
                "for rare ones, or lower cross_validation::n_folds."
            )
    if problems:
        raise InputProblems("Targets", problems)
    return Target(name, np.searchsorted(levels, values.astype(str)), tuple(levels))
