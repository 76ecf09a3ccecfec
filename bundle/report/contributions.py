"""The report's section on which maps strata and embedding values show in."""

from __future__ import annotations

from bundle.paths import PHENOTYPING
from bundle.report.blocks import Column, Section, Text, make_table
from bundle.report.numbers import share, words
from bundle.report.results import Results
from bundle.report.stage_blocks import picture


def contributions_section(results: Results) -> Section:
    """In which maps strata and embedding values show."""
    section = Section("contributions", "What shows in which map")
    if results.table(PHENOTYPING, "modality_share") is None:
        section.blocks.append(Text("Images were not used, or are not those of these strata.", "note"))
        return section
    section.blocks.append(
        Text(
            "Descriptive: strata were made from these very images, so that they differ in them is no finding. The "
            "network draws each embedding, and the embeddings change when a map is taken away.",
            "note",
        )
    )
    section.blocks += picture(
        results,
        PHENOTYPING,
        "maps.png",
        "Maps drawn from each stratum's exemplar embedding minus those drawn from the mean embedding.",
        f"Drawn exemplar of each stratum minus the drawn mean embedding. Volumes: {PHENOTYPING}/maps/.",
        descriptive=True,
    )
    for name, column, heading, caption in (
        ("modality_share", "stratum", "Stratum", "Share of each map in what sets a stratum apart"),
        ("dimension_share", "dimension", "Axis", "Share of each map in each axis of the space that was clustered"),
    ):
        frame = results.table(PHENOTYPING, name)
        if frame is not None:
            maps = list(dict.fromkeys(frame["modality"]))
            frame = frame.assign(**{column: frame[column].map(words)})
            wide = frame.pivot_table("share", column, "modality", sort=False).reset_index()
            columns = [Column(column, heading), *[Column(modality, modality, share) for modality in maps]]
            section.blocks.append(make_table(wide, columns, caption, f"{PHENOTYPING}/{name}.tsv", descriptive=True))
    return section
