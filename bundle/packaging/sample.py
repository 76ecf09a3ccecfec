"""A few participants of the synthetic cohort, so that a package can be tried before there are images of one's own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bundle.data.tables import read_table, write_table
from bundle.packaging.run_facts import RunFacts
from bundle.paths import PARTICIPANTS

N_PEOPLE = 2


def write_sample(folder: Path, facts: RunFacts, images: Mapping[str, str]) -> list[str]:
    """Copy the first unrelated participants of the test split, whom training has not seen, as a cohort folder.

    Args:
        folder: where to.
        facts: of the run.
        images: modality -> file pattern.

    Returns:
        Their ids; no participant, and nothing is written, if the cohort is not synthetic or its images are gone.
    """
    of_family = {item["family_id"]: item for item in reversed(facts.test_people) if _is_whole(item, facts)}
    people = [item for item in facts.test_people if item in of_family.values()][:N_PEOPLE]
    if facts.cohort is None or not people:
        return []
    for item in people:
        for modality in facts.network.modalities:
            target = folder / images[modality].format(participant_id=item["participant_id"])
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(item[modality], target)
    table = read_table(facts.cohort / PARTICIPANTS, dtype={"participant_id": str})
    names = [item["participant_id"] for item in people]
    write_table(table[table["participant_id"].isin(names)], folder / PARTICIPANTS)
    return names


def _is_whole(item: Mapping[str, Any], facts: RunFacts) -> bool:
    return all(modality in item and Path(item[modality]).is_file() for modality in facts.network.modalities)
