"""All participants of a cohort, not yet divided, with what the participants table says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bundle.data.cohort_folder import items_from_folder
from bundle.data.cohort_settings import CohortSettings
from bundle.data.cohort_writer import write_cohort
from bundle.data.datalist import SECTIONS, Item, items_from_datalist
from bundle.data.families import alone
from bundle.data.leakage import shared_files
from bundle.data.participants import read_participants
from bundle.data.problems import InputProblems
from bundle.paths import COHORT, PREPARED, stage_folder


@dataclass(frozen=True)
class WholeCohort:
    """Participants in the order of their table or datalist.

    Attributes:
        source: folder or datalist.
        items: with families and the paths of images.
        table: participants, a row per item in the same order; all values as text.
        images_hash: of what the images show (`bundle.data.voxel_hash.cohort_hash`); empty until they were read.
    """

    source: Path
    items: list[Item]
    table: pd.DataFrame
    images_hash: str = ""

    @property
    def families(self) -> dict[str, str]:
        """Participant id -> family id."""
        return {item["participant_id"]: item["family_id"] for item in self.items}


def read_whole_cohort(
    output_dir: str,
    dataset_dir: str | None,
    images: Mapping[str, str],
    modalities: Sequence[str],
    participants: str | None = None,
    synthetic: Mapping[str, Any] | None = None,
    num_workers: int = 2,
    progress: bool = True,
) -> WholeCohort:
    """Read a cohort as training does, but leave it in one piece.

    Args:
        output_dir: results folder.
        dataset_dir: a cohort folder or a datalist JSON, whose sections do not count. None, or the folder
            `<output_dir>/1_prepared/cohort`, draws the synthetic cohort there unless it is there.
        images: modality -> file pattern with `{participant_id}`.
        modalities: those to use.
        participants: a participants table to take rather than the cohort folder's, or beside a datalist; participants of whom it
            names no family keep theirs.
        synthetic: arguments of `CohortSettings`.
        num_workers: processes that draw.
        progress: show a bar.

    Raises:
        InputProblems: with all that is wrong.
    """
    cohort = stage_folder(output_dir, PREPARED) / COHORT
    source = cohort if dataset_dir is None else Path(dataset_dir).expanduser().resolve()
    if source == cohort:
        write_cohort(cohort, CohortSettings(**(synthetic or {})), num_workers, progress)
    if not source.exists():
        raise InputProblems(
            "Cohort", [f"--dataset_dir {source} does not exist: expected a cohort folder or a datalist."]
        )
    if source.is_file():
        sections = items_from_datalist(source, modalities, any_subset=True)
        items = [item for section in SECTIONS for item in sections[section]]
    else:
        items = items_from_folder(source, images, modalities, any_subset=True)
    problems = [finding.sentence for finding in shared_files(items, modalities)]
    if participants is not None or source.is_dir():
        table = read_participants(source if participants is None else Path(participants).expanduser())
    else:
        table = pd.DataFrame(items)[["participant_id", "family_id"]]
    rows = table.set_index("participant_id", drop=False)
    problems += [
        f"{item['participant_id']}: has images but no row in {participants}: add the row."
        for item in items
        if item["participant_id"] not in rows.index
    ]
    if problems:
        raise InputProblems("Cohort", problems)
    if participants is not None:
        items = [item | {"family_id": _family_of(item, rows["family_id"])} for item in items]
    return WholeCohort(source, items, rows.loc[[item["participant_id"] for item in items]].reset_index(drop=True))


def _family_of(item: Item, families: pd.Series) -> str:
    """That of the table, or the participant's own if the table names none."""
    name = item["participant_id"]
    return item["family_id"] if families[name] == alone(name) else str(families[name])
