"""New people to the strata that were found earlier."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from bundle.analysis.stratifier import NOT_ASSIGNED, Stratifier
from bundle.data.embedding_table import read_embedding_table
from bundle.data.people import people_table
from bundle.data.problems import InputProblems
from bundle.data.tables import write_table
from bundle.paths import ASSIGNED, CLUSTERS, EMBEDDINGS, STRATIFIER, stage_folder

logger = logging.getLogger(__name__)


def assign(
    output_dir: str,
    stratifier: str | None,
    embeddings: str | None,
    participants: str | None,
) -> pd.DataFrame:
    """Give each embedded person a stratum, or say why not; write `5_assigned/assignments.tsv`.

    Args:
        output_dir: results folder.
        stratifier: file that clustering wrote; None takes `<output_dir>/5_clusters/stratifier.npz`.
        embeddings: an `embeddings.npz` or its folder; None takes `<output_dir>/4_embeddings`.
        participants: table with the stratifier's covariates; None takes that of `1_prepared`. Not read if the
            stratifier has no covariates.

    Returns:
        See `Stratifier.assign`, with `participant_id` first.

    Raises:
        InputProblems: for a stratifier that cannot be read or is of another encoder, and for missing covariates.
    """
    file = Path(stratifier).expanduser() if stratifier else stage_folder(output_dir, CLUSTERS) / STRATIFIER
    model = read_stratifier(file)
    table = read_embedding_table(embeddings if embeddings else stage_folder(output_dir, EMBEDDINGS))
    if table.encoder_hash != model.encoder_hash:
        raise InputProblems(
            "Stratifier",
            [
                f"{file} was made with encoder {model.encoder_hash} ({', '.join(model.modalities)}), the embeddings are "
                f"of encoder {table.encoder_hash} ({', '.join(table.modalities)}): embed these people with the network "
                "that the stratifier came with."
            ],
        )
    covariates = None
    if model.covariates is not None:
        people = people_table(
            table.participant_ids.tolist(), output_dir, participants, categories=list(model.covariates.levels)
        )
        absent = [column for column in model.covariates.columns if column not in people]
        if absent:
            raise InputProblems(
                "Covariates",
                [
                    f"The stratifier takes {', '.join(model.covariates.columns)} out of the codes; the participants table "
                    f"has no {', '.join(absent)}: add it."
                ],
            )
        covariates = people[model.covariates.columns]
    assigned = model.assign(table.codes.astype(float), covariates, table.reconstruction_errors)
    assigned.insert(0, "participant_id", table.participant_ids)
    target = stage_folder(output_dir, ASSIGNED) / "assignments.tsv"
    write_table(assigned, target)
    logger.info("%s", _words(model, assigned, target))
    return assigned


def read_stratifier(file: Path) -> Stratifier:
    """Read what clustering wrote.

    Raises:
        InputProblems: if it is not there or not a stratifier.
    """
    if not file.is_file():
        raise InputProblems("Stratifier", [f"No {file}: run clustering first, or give --stratifier."])
    try:
        with np.load(file, allow_pickle=False) as stored:
            return Stratifier.from_arrays({name: stored[name] for name in stored.files})
    except Exception as error:  # whatever a broken file makes numpy raise
        raise InputProblems(
            "Stratifier", [f"{file} is not a stratifier ({error!r}): give the file that clustering wrote."]
        ) from error


def _words(model: Stratifier, assigned: pd.DataFrame, target: Path) -> str:
    counts = assigned["stratum"].value_counts().sort_index()
    lines = [f"The stratifier: {model.headline}, encoder {model.encoder_hash}."]
    if model.n_strata == 1:
        lines.append("It found no discrete strata, so everybody who is like its people is in stratum 1.")
    lines += [f"  {'stratum ' if label != NOT_ASSIGNED else ''}{label}: {count}" for label, count in counts.items()]
    kinds = assigned.loc[assigned["reason"] != "", "reason"].value_counts()
    lines += [f"    {count} because: {reason}" for reason, count in kinds.head(5).items()]
    if (assigned["stratum"] == NOT_ASSIGNED).all():
        lines.append(
            "Nobody was assigned: do covariates have the units and words of the people the strata were found on?"
        )
    on_border = int((assigned["most_probable_stratum"] != assigned["nearest_stratum"]).sum())
    lines.append(f"On a border (another stratum is more probable): {on_border}.")
    return "\n".join([*lines, f"Written: {target}"])
