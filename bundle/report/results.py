"""What the stages before the report left in a results folder, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bundle.data.embedding_table import EmbeddingTable, read_embedding_table
from bundle.data.json_files import read_json
from bundle.data.problems import InputProblems
from bundle.data.tables import read_table
from bundle.paths import (
    BEST_MODEL,
    CHECKPOINT,
    CLUSTERS,
    CROSS_VALIDATION,
    DATALIST,
    EMBEDDINGS,
    EVALUATED,
    EVALUATION,
    PHENOTYPING,
    PREDICTION,
    PREPARED,
    TRAINING,
    shown_command,
    stage_folder,
)
from bundle.report.forms import FACTS, FORMS, LAST_WRITTEN, Form
from bundle.strata.tables import strata_sha256
from bundle.trained.encoder_hash import encoder_hash_of
from bundle.trained.weights import read_weights, signature_of

OUTPUT_DIR = "OUTPUT_DIR"
"""Stands in the report for a results folder with an absolute path, which may tell whose it is."""
MADE_BY = {
    TRAINING: ("training", "train.yaml"),
    EVALUATION: ("evaluating", "evaluate.yaml"),
    EMBEDDINGS: ("embedding", "inference.yaml"),
    CLUSTERS: ("clustering", "cluster.yaml"),
    PHENOTYPING: ("phenotyping", "phenotypes.yaml"),
    PREDICTION: ("predicting", "predict.yaml"),
    CROSS_VALIDATION: ("cross_validating", "cross_validate.yaml"),
}
"""Stage folder -> run id and config of the command that makes it."""


@dataclass(frozen=True)
class Results:
    """Everything in a results folder that the report draws on.

    Attributes:
        output_dir: as the user wrote it.
        stages: folders of the stages that have run.
        tables: (stage folder, name) -> table, those that are there.
        facts: stage folder -> content of its summary.json.
        datalist: of `1_prepared`, or empty.
        checkpoint: of training, or empty; `settings`, `epoch`, `best` and `signature` of the network.
        embeddings: or None.
    """

    output_dir: str
    stages: list[str]
    tables: Mapping[tuple[str, str], pd.DataFrame] = field(default_factory=dict)
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    datalist: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Mapping[str, Any] = field(default_factory=dict)
    embeddings: EmbeddingTable | None = None

    def table(self, stage: str, name: str) -> pd.DataFrame | None:
        """A table, or None if it is not there or has no rows."""
        table = self.tables.get((stage, name))
        return None if table is None or table.empty else table

    def file(self, stage: str, name: str) -> Path:
        """Where a stage's file lies, or would lie."""
        return stage_folder(self.output_dir, stage) / name

    def command(self, stage: str) -> str:
        """The command that makes a stage's folder; a page that is passed on does not say where the folder is."""
        options = "--dataset_dir FOLDER " if stage == EMBEDDINGS else ""
        where = OUTPUT_DIR if Path(self.output_dir).expanduser().is_absolute() else self.output_dir
        return f"{shown_command(*MADE_BY[stage])} {options}--output_dir {where}"

    @property
    def has_clusters(self) -> bool:
        """Whether clustering found discrete strata in the embeddings as it was told to treat them."""
        return CLUSTERS in self.facts and int(self.facts[CLUSTERS]["n_strata"]) > 1

    @property
    def has_strata(self) -> bool | None:
        """Whether there are strata beyond covariates, as far as that was looked at; None if no participant looked for any."""
        if PHENOTYPING in self.facts:
            return int(self.facts[PHENOTYPING]["n_strata"]["adjusted"]) > 1
        return self.has_clusters if CLUSTERS in self.facts else None


def read_results(output_dir: str) -> Results:
    """Read and check what is there.

    Raises:
        InputProblems: if no stage has run, or a file is broken, lacks a column, holds words for numbers, or is of
            another encoder than the rest.
    """
    stages = [stage for stage, file in LAST_WRITTEN.items() if (stage_folder(output_dir, stage) / file).is_file()]
    if not stages:
        raise InputProblems(
            "Results folder",
            [
                f"Nothing to report in {stage_folder(output_dir, '')}: expected at least one of "
                f"{', '.join(LAST_WRITTEN)}. Run training first, or give --output_dir."
            ],
        )
    tables, problems = {}, []
    for (stage, name), form in FORMS.items():
        file = stage_folder(output_dir, stage) / f"{name}.tsv"
        if stage in stages and file.is_file():
            tables[stage, name], wrong = _read_table(file, form)
            problems += wrong
    facts = {}
    for stage in FACTS:
        if stage in stages:
            file = stage_folder(output_dir, stage) / "summary.json"
            facts[stage] = read_json(file)
            problems += [
                f"{file}: has no {key!r}: another version of the stage wrote it; run it again."
                for key in FACTS[stage]
                if key not in facts[stage]
            ]
    if problems:
        raise InputProblems("Results folder", problems)
    datalist = stage_folder(output_dir, PREPARED) / DATALIST
    results = Results(
        output_dir,
        stages,
        tables,
        facts,
        read_json(datalist) if datalist.is_file() else {},
        _read_training(stage_folder(output_dir, TRAINING)),
        read_embedding_table(stage_folder(output_dir, EMBEDDINGS)) if EMBEDDINGS in stages else None,
    )
    _check_encoders(results)
    return results


def _read_table(file: Path, form: Form) -> tuple[pd.DataFrame, list[str]]:
    """A table with its numbers as numbers, and a sentence for each thing that is wrong with it."""
    try:
        table = read_table(file, str)
    except (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        return pd.DataFrame(), [f"{file}: is no tab-separated table ({error}): run its stage again."]
    problems = [
        f"{file}: expected a column {column!r}, got {', '.join(table.columns)}: run its stage again."
        for column in (*form.words, *form.numbers)
        if column not in table
    ]
    for column in table.columns.difference(form.words):
        numbers = pd.to_numeric(table[column], errors="coerce")
        odd = table.loc[numbers.isna() & table[column].notna(), column]
        if odd.empty:
            table[column] = numbers
        elif column in form.numbers:
            problems.append(f"{file}: expected numbers in column {column!r}, got {odd.iloc[0]!r}: run its stage again.")
    return table, problems


def _read_training(folder: Path) -> dict[str, Any]:
    """What the checkpoint, or else the weights, say about training; empty without either."""
    files = [file for file in (folder / CHECKPOINT, folder / BEST_MODEL) if file.is_file()]
    if not files:
        return {}
    state = read_weights(files[0])
    signature = signature_of(state.get("network", state))
    facts = {name: state[name] for name in ("settings", "epoch", "best") if name in state}
    if signature:
        facts["signature"] = signature
    return facts


def _encoders(results: Results) -> list[tuple[str, list[str]]]:
    """(stage, hashes of the encoders that it is of), in the order in which they run, of those that are there."""
    weights, evaluated = results.file(TRAINING, BEST_MODEL), results.file(EVALUATION, EVALUATED)
    found = [
        (TRAINING, [encoder_hash_of(read_weights(weights))] if weights.is_file() else []),
        (EVALUATION, [read_json(evaluated)["encoder_hash"]] if evaluated.is_file() else []),
        (EMBEDDINGS, [results.embeddings.encoder_hash] if results.embeddings is not None else []),
        (CLUSTERS, [encoder["encoder_hash"] for encoder in results.facts.get(CLUSTERS, {}).get("encoders", [])]),
        (PHENOTYPING, [results.facts.get(PHENOTYPING, {}).get("encoder_hash")]),
        (PREDICTION, [results.facts.get(PREDICTION, {}).get("encoder_hash")]),
    ]
    return [(stage, known) for stage, hashes in found if (known := [one for one in hashes if one])]


def _check_encoders(results: Results) -> None:
    """Refuse to put what is of one encoder beside what is of another."""
    made_of_encoders = _encoders(results)
    problems = []
    for number, (stage, encoders) in enumerate(made_of_encoders):
        before = dict(made_of_encoders[:number])
        source = CLUSTERS if stage == PHENOTYPING and CLUSTERS in before else next(iter(before), stage)
        known = before.get(source, encoders)
        if not set(known) & set(encoders):
            problems.append(
                f"{stage_folder(results.output_dir, stage)} is of encoder {', '.join(encoders)}, {source} of {', '.join(known)}: "
                f"their embeddings live in different spaces. Run {MADE_BY[stage][0]} again, or keep the two in folders of their own."
            )
    made_of = results.facts.get(PHENOTYPING, {}).get("strata_sha256")
    strata = stage_folder(results.output_dir, CLUSTERS) / "strata.tsv"
    if made_of is not None and strata.is_file() and strata_sha256(results.output_dir) != made_of:
        problems.append(
            f"{stage_folder(results.output_dir, PHENOTYPING)} is about other strata than {strata}: run phenotyping again."
        )
    if problems:
        raise InputProblems("Results folder", problems)
