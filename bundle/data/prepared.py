"""Participants that `preparing` or `training` left in `1_prepared`, for later stages."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bundle.data.datalist import SECTIONS, Item, items_from_datalist, present_modalities
from bundle.data.problems import InputProblems
from bundle.paths import DATALIST, PREPARED, stage_folder

logger = logging.getLogger(__name__)


def prepared_split(output_dir: str, modalities: Sequence[str], split: str, any_subset: bool = False) -> list[Item]:
    """The participants of a split that `prepare` wrote, for later stages: those who have every map, or all of them.

    Args:
        output_dir: results folder.
        modalities: maps that are meant.
        split: of the datalist.
        any_subset: also participants who lack some of the maps.

    Raises:
        InputProblems: for another split, or if nothing is prepared there, no participant has every map, or a file is gone.
    """
    if split not in SECTIONS:
        raise InputProblems("Split", [f"Expected --split to be one of {SECTIONS}, got {split!r}."])
    file = stage_folder(output_dir, PREPARED) / DATALIST
    if not file.is_file():
        raise InputProblems("Results folder", [f"No {file}: run training first, or give its --output_dir."])
    items = items_from_datalist(file, modalities, any_subset=True)[split]
    if any_subset:
        return items
    complete = [item for item in items if len(present_modalities(item, modalities)) == len(modalities)]
    if not complete:
        maps = ", ".join(modalities)
        raise InputProblems(
            "Split", [f"No participant in {split} of {file} has every map ({maps}): give fewer --modalities."]
        )
    if len(complete) < len(items):
        logger.info(
            "%d of %d participants in %s lack a map and are left out.", len(items) - len(complete), len(items), split
        )
    return complete


def prepared_people(output_dir: str, modalities: Sequence[str]) -> list[Item]:
    """All participants of `1_prepared` who has every map, whatever their split; no participant if there is no such folder."""
    file = stage_folder(output_dir, PREPARED) / DATALIST
    if not file.is_file():
        return []
    sections = items_from_datalist(file, modalities, any_subset=True)
    everybody = [item for name in SECTIONS for item in sections[name]]
    return [item for item in everybody if len(present_modalities(item, modalities)) == len(modalities)]
