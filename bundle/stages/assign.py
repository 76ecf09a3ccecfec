"""New participants to the strata that were found earlier."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bundle.analysis.combat import SiteModel
from bundle.analysis.site_calibration import calibrate_sites
from bundle.analysis.sites import MIN_SITE
from bundle.analysis.stratifier import NO_STRATA, NOT_ASSIGNED, Stratifier
from bundle.data.embedding_table import EmbeddingTable, read_embedding_table
from bundle.data.people import people_table
from bundle.data.problems import InputProblems
from bundle.data.tables import write_table
from bundle.paths import ASSIGNED, CLUSTERS, EMBEDDINGS, STRATIFIER, stage_folder
from bundle.strata.stratifier_file import read_stratifier

logger = logging.getLogger(__name__)


def assign(
    output_dir: str,
    stratifier: str | None,
    embeddings: str | None,
    participants: str | None,
    calibration: str | None = None,
    calibration_participants: str | None = None,
) -> pd.DataFrame:
    """Give each embedded participant a stratum, or say why not; write `5_assigned/assignments.tsv`.

    Args:
        output_dir: results folder.
        stratifier: file that clustering wrote; None takes `<output_dir>/5_clusters/stratifier.npz`.
        embeddings: an `embeddings.npz` or its folder; None takes `<output_dir>/4_embeddings`.
        participants: table with the stratifier's covariates and, if its embeddings are harmonised, sites; None takes that of
            `1_prepared`. Not read if the stratifier needs neither.
        calibration: embeddings of participants of sites that the stratifier has not seen, ten or more of each; they may be the
            participants who are to be assigned. None: participants of such sites are refused.
        calibration_participants: their table; None takes `participants`.

    Returns:
        See `Stratifier.assign`, with `participant_id` first.

    Raises:
        InputProblems: for a stratifier that cannot be read or is of another encoder, for missing covariates, for sites that
            it has not seen, and for a calibration set that cannot be used.
    """
    file = Path(stratifier).expanduser() if stratifier else stage_folder(output_dir, CLUSTERS) / STRATIFIER
    model = read_stratifier(file)
    table = _embeddings_of(model, file, embeddings if embeddings else stage_folder(output_dir, EMBEDDINGS))
    people = _people_of(model, table, output_dir, participants)
    if calibration is not None:
        model = calibrated(
            model,
            _embeddings_of(model, file, calibration),
            lambda own: _people_of(model, own, output_dir, calibration_participants or participants),
        )
    if model.sites is not None and people is not None:
        refuse_unseen_sites(model.sites, people[model.sites.column], file)
    assigned = model.assign(table.codes.astype(float), people, table.reconstruction_errors, table.inputs)
    assigned.insert(0, "participant_id", table.participant_ids)
    target = stage_folder(output_dir, ASSIGNED) / "assignments.tsv"
    write_table(assigned, target)
    logger.info("%s", _words(model, assigned, target))
    return assigned


def _embeddings_of(model: Stratifier, file: Path, source: str | Path) -> EmbeddingTable:
    """Embeddings, refused if they are of another encoder than the stratifier."""
    table = read_embedding_table(source)
    if table.encoder_hash != model.encoder_hash:
        raise InputProblems(
            "Stratifier",
            [
                f"{file} was made with encoder {model.encoder_hash} ({', '.join(model.modalities)}), the embeddings are "
                f"of encoder {table.encoder_hash} ({', '.join(table.modalities)}): embed these participants with the network "
                "that the stratifier came with."
            ],
        )
    return table


def _people_of(
    model: Stratifier, table: EmbeddingTable, output_dir: str, participants: str | None
) -> pd.DataFrame | None:
    """What the stratifier needs to know of embedded participants, and `family_id`; None if it needs nothing."""
    if not model.columns:
        return None
    people = people_table(table.participant_ids.tolist(), output_dir, participants, categories=model.categories)
    absent = [column for column in model.columns if column not in people]
    if absent:
        raise InputProblems(
            "Covariates",
            [
                f"The stratifier takes {', '.join(model.columns)} out of the embeddings; the participants table "
                f"has no {', '.join(absent)}: add it."
            ],
        )
    return people[list(dict.fromkeys([*model.columns, "family_id"]))]


def calibrated(
    model: Stratifier, table: EmbeddingTable, people_of: Callable[[EmbeddingTable], pd.DataFrame | None]
) -> Stratifier:
    """The stratifier with the sites of a calibration set, so far as it has not seen them.

    Raises:
        InputProblems: if its embeddings are not harmonised, or the set cannot be used.
    """
    people = people_of(table)
    if model.sites is None or people is None:
        problem = (
            "The stratifier's embeddings are not harmonised, so there is nothing to calibrate: cluster with --harmonise combat, "
            "or leave --calibration out."
        )
        raise InputProblems("Calibration set", [problem])
    others = sorted(set(table.inputs) - set(model.made_from)) if model.made_from else []
    if others:
        problem = (
            f"Its embeddings were made from {' and '.join(others)}, those of the strata from {' or '.join(model.made_from)}: embed "
            "these participants with --given of the same maps."
        )
        raise InputProblems("Calibration set", [problem])
    own = model.sites.people(people)
    sites = calibrate_sites(model.sites, table.codes.astype(float), own, people["family_id"].tolist())
    new = ", ".join(sites.sites[len(model.sites.sites) :])
    if not new:
        logger.warning("The calibration set has no site that the stratifier has not seen: nothing was calibrated.")
    else:
        logger.info("Calibrated for %s %s with %d participants.", sites.column, new, len(table))
    return replace(model, sites=sites)


def refuse_unseen_sites(model: SiteModel, labels: pd.Series, file: Path) -> None:
    """Refuse participants of sites that were not harmonised: their embeddings are not comparable.

    Raises:
        InputProblems: naming those sites and what would be needed.
    """
    problems = [
        f"{model.column} {name} ({int((labels.astype(str) == name).sum())} participants) is none of {', '.join(model.sites)}, "
        f"which {file.name} was made of. Give --calibration, embeddings of {MIN_SITE} or more participants of that site with "
        "their rows in the participants table (they may be these participants), or leave them out."
        for name in model.unseen(labels)
    ]
    if problems:
        raise InputProblems("Sites", problems)


def _words(model: Stratifier, assigned: pd.DataFrame, target: Path) -> str:
    counts = assigned["stratum"].value_counts().sort_index()
    lines = [f"The stratifier: {model.headline}, encoder {model.encoder_hash}."]
    if not model.has_strata:
        lines.append(
            "It found no discrete strata, so no participant is given one: participants are like those of its cohort, or not."
        )
    lines += [
        f"  {'' if label in (NOT_ASSIGNED, NO_STRATA) else 'stratum '}{label}: {count}"
        for label, count in counts.items()
    ]
    kinds = assigned.loc[assigned["reason"] != "", "reason"].value_counts()
    lines += [f"    {count} because: {reason}" for reason, count in kinds.head(5).items()]
    if (assigned["stratum"] == NOT_ASSIGNED).all():
        lines.append(
            "No participant was assigned: do covariates have the units and words of the participants the strata were found on?"
        )
    if model.has_strata:
        on_border = int((assigned["most_probable_stratum"] != assigned["nearest_stratum"]).sum())
        lines.append(f"On a border (another stratum is more probable): {on_border}.")
    return "\n".join([*lines, f"Written: {target}"])
