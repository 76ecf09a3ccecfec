"""From mapped participants on to embeddings and strata, by a network and a stratifier that are there."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bundle.data.participants import read_participants
from bundle.data.problems import InputProblems
from bundle.data.tables import read_table
from bundle.paths import ASSIGNED, BEST_MODEL, CLUSTERS, MAPPED, STRATIFIER, TRAINING, stage_folder
from bundle.running.command_line import check_command_line
from bundle.running.stage_process import run_stage, stage_command
from bundle.stages.map import MappedCohort

logger = logging.getLogger(__name__)
EMBEDDING, ASSIGNING = ("embedding", "configs/inference.yaml"), ("assigning", "configs/assign.yaml")


def find_model(
    model_dir: str | None, embedding: Mapping[str, Any] | None = None, participants: str | None = None
) -> tuple[Path, Path]:
    """Weights and stratifier of a results folder, and what is to be done with them, before hours go into mapping.

    Args:
        model_dir: the folder.
        embedding: as `embed_and_assign`.
        participants: as `embed_and_assign`.

    Raises:
        InputProblems: if a file is not there, embedding would not know an option, or the table names no participant.
    """
    if model_dir is None:
        raise InputProblems("Model", ["Give --model_dir, the results folder of a network and its strata (2_training/model.pt, 5_clusters/stratifier.npz)."])  # fmt: skip
    folder = Path(model_dir).expanduser().resolve()
    files = (folder / TRAINING / BEST_MODEL, folder / CLUSTERS / STRATIFIER)
    problems = [f"No {file}: run {stage}, or give another --model_dir." for file, stage in zip(files, ("training", "clustering"), strict=True) if not file.is_file()]  # fmt: skip
    if problems:
        raise InputProblems("Model", problems)
    if embedding:
        check_command_line(stage_command(EMBEDDING[0], [EMBEDDING[1]], _options(embedding))[3:])
    if participants is not None:
        read_participants(Path(participants).expanduser())
    return files


def _options(embedding: Mapping[str, Any] | None) -> dict[str, Any]:
    named = (embedding or {}).items()
    return {key: f"%{value}" if isinstance(value, str) and value.endswith(".yaml") else value for key, value in named}


def embed_and_assign(
    output_dir: str,
    model: tuple[Path, Path],
    mapped: MappedCohort,
    options: Mapping[str, Any],
    embedding: Mapping[str, Any] | None = None,
    participants: str | None = None,
) -> pd.DataFrame:
    """Run `embedding` and `assigning` on mapped participants, each in a process of its own as a user would.

    Args:
        output_dir: results folder; `4_embeddings/` and `5_assigned/` are written in it.
        model: weights and stratifier, see `find_model`.
        mapped: the cohort; who could not be mapped is told of when the others are assigned.
        options: handed on to embedding (`modalities`, `spatial_size`, ...).
        embedding: what embedding is to do otherwise; the value of a part such as `network_def` may be its file.
        participants: table with the stratifier's covariates.

    Returns:
        `5_assigned/assignments.tsv`.

    Raises:
        StageFailed: if a stage fails, with what it said last.
        InputProblems: at once if no participant was mapped, at the end if a participant was not.
    """
    if not mapped.people:
        mapped.raise_failures()
    checkpoint, stratifier = model
    logs = stage_folder(output_dir, MAPPED) / "logs"
    run_stage(EMBEDDING[0], [EMBEDDING[1]], {"output_dir": output_dir, "dataset_dir": str(mapped.folder), "checkpoint": str(checkpoint), "progress": False, **options, **_options(embedding)}, logs / "embedding.log")  # fmt: skip
    given = {"participants": participants} if participants else {}
    run_stage(ASSIGNING[0], [ASSIGNING[1]], {"output_dir": output_dir, "stratifier": str(stratifier), **given}, logs / "assigning.log")  # fmt: skip
    file = stage_folder(output_dir, ASSIGNED) / "assignments.tsv"
    table = read_table(file, {"participant_id": str})
    logger.info("%s\nWritten: %s", table.to_string(index=False), file)
    mapped.raise_failures()
    return table
