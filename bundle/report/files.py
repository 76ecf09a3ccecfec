"""What the results folder holds: where each table lies, and which stages have not run."""

from __future__ import annotations

from bundle.report.blocks import Section, Table, Text
from bundle.report.forms import FORMS, LAST_WRITTEN
from bundle.report.numbers import count
from bundle.report.results import Results
from bundle.report.stage_blocks import absent


def files_section(results: Results) -> Section:
    """Where every table lies."""
    rows = []
    for (stage, name), form in FORMS.items():
        frame = results.tables.get((stage, name))
        if frame is not None:
            rows.append([f"{stage}/{name}.tsv", form.holds, count(len(frame))])
    caption = "Tables as tab-separated files"
    note = "Paths are relative to the results folder. Stages that have not run have none."
    section = Section("files", "Files")
    section.blocks.append(Table(caption, ["File", "Holds", "Rows"], rows, [True, True, False], "", note))
    return section


def missing_stages(results: Results) -> list[Text]:
    """A line for each stage that has not run."""
    return [absent(results, stage) for stage in LAST_WRITTEN if stage not in results.stages]
