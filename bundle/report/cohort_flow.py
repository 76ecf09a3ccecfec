"""From a source's tables to the participants who are analysed, and what was done to their images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bundle.data.json_files import read_json
from bundle.paths import PREPARATION
from bundle.report.blocks import Bullets, Steps, Text
from bundle.report.numbers import count
from bundle.report.results import Results


def cohort_flow(results: Results) -> list[Any]:
    """Blocks for the section on participants; nothing if the cohort was not made by `preparing`."""
    source = Path(str(results.datalist.get("dataset_dir", "")))
    file = source.parent / PREPARATION
    if source.suffix != ".json" or not file.is_file():
        return []
    facts = read_json(file)
    rows = []
    before = None
    for step, people, reason in facts["flow"]:
        fewer = 0 if before is None else before - people
        rows.append((step, count(people), f"{count(fewer)} left out: {reason}" if fewer else ""))
        before = people
    blocks: list[Any] = [Text(f"From {facts['layout']}, in the template space {facts['space']}:"), Steps(rows)]
    return [*blocks, Bullets(facts["notes"])] if facts["notes"] else blocks
