"""The report's sections on participants: who was left out and why, and where the others lie among each other."""

from __future__ import annotations

import numpy as np

from bundle.data.datalist import SECTIONS
from bundle.data.embedding_table import EmbeddingTable
from bundle.paths import CLUSTERS, EMBEDDINGS, PHENOTYPING
from bundle.report.blocks import Figures, Section, Steps, Text
from bundle.report.cohort_flow import cohort_flow
from bundle.report.numbers import count, listed, words
from bundle.report.pictures import MOST_PEOPLE, maps_of_people
from bundle.report.results import Results
from bundle.report.stage_blocks import absent, own_picture


def people_section(results: Results) -> Section:
    """Who is in the analyses, and who was left out for what reason."""
    section = Section("people", "Participants", cohort_flow(results))
    was_prepared = bool(section.blocks)
    steps: list[tuple[str, str, str]] = []
    sizes = {name: len(results.datalist.get(name, [])) for name in SECTIONS}
    if sum(sizes.values()):
        steps.append(
            (
                f"with images ({listed([f'{size} {name}' for name, size in sizes.items()])})",
                count(sum(sizes.values())),
                "",
            )
        )
    flow = results.table(PHENOTYPING, "flow")
    if flow is None:
        if results.embeddings is not None:
            steps.append(("with an embedding", count(len(results.embeddings)), ""))
        if CLUSTERS in results.facts:
            steps.append(("clustered", count(results.facts[CLUSTERS]["n_people"]), ""))
        told = "No participant was left out by the stages that have run: an unusable image stops them."
        if was_prepared:
            told = "No participant was left out after that."
    else:
        lost = -flow["people"].diff().fillna(0)
        for row, fewer in zip(flow.to_dict("records"), lost, strict=True):
            why = f"{count(fewer)} left out: {words(row['reason'])}" if fewer > 0 else ""
            steps.append((words(row["step"]), count(row["people"]), why))
        told = (
            f"Who was left out, and why: {PHENOTYPING}/left_out.tsv." if lost.any() else "No participant was left out."
        )
    if steps:
        section.blocks.append(Steps(steps))
    section.blocks.append(Text(told))
    return section


def embedding_section(results: Results) -> Section:
    """Where participants lie among each other."""
    section = Section("embedding", "Map of participants")
    table = results.embeddings
    if table is None:
        section.blocks.append(absent(results, EMBEDDINGS))
        return section
    section.blocks.append(
        Text(
            "These pictures are no evidence of strata: they show a few of the directions in which participants differ, "
            "and t-SNE draws islands where there are none. The evidence is in the next section.",
            "note",
        )
    )
    figures = maps_of_people(table.codes, _strata_of(results, table))
    some = f" {MOST_PEOPLE:,} participants, drawn at random." if len(table) > MOST_PEOPLE else ""
    meaning = {
        "PCA": "The two directions in which embeddings differ most.",
        "t-SNE": "Neighbours are kept near each other; distances between islands mean nothing.",
    }
    parts = [
        own_picture(
            figure,
            f"Scatter plot of participants by {name} of their embeddings"
            + (", coloured by stratum." if results.has_clusters else "."),
            f"{name} of the embeddings as the network gives them, covariates included. {meaning[name]}{some} No evidence.",
        )
        for name, figure in figures.items()
    ]
    section.blocks.append(Figures(parts) if parts else Text("Too few participants for a map."))
    return section


def _strata_of(results: Results, table: EmbeddingTable) -> np.ndarray | None:
    """Stratum of each participant, 0 for participants who were not clustered; None if there are no strata."""
    strata = results.table(CLUSTERS, "strata")
    if strata is None or not results.has_clusters:
        return None
    return strata.set_index("participant_id")["stratum"].reindex(table.participant_ids).fillna(0).astype(int).to_numpy()
