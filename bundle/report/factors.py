"""The report's section on phenotype factors."""

from __future__ import annotations

from bundle.paths import PHENOTYPING
from bundle.report.blocks import Column, Section, Text, make_table
from bundle.report.numbers import counted, digits, listed, share
from bundle.report.results import Results
from bundle.report.stage_blocks import absent, picture, table


def factors_section(results: Results) -> Section:
    """What the phenotypes were condensed to."""
    section = Section("factors", "Phenotype factors")
    facts = results.facts.get(PHENOTYPING)
    if facts is None:
        section.blocks.append(absent(results, PHENOTYPING))
        return section
    items = results.table(PHENOTYPING, "items")
    if items is not None:
        sizes = items["state"].value_counts()
        parts = [f"{counted(int(size), 'item')} {state}" for state, size in sizes.items()]
        section.blocks.append(Text(f"The table of phenotypes: {listed(parts)}."))
    section.blocks += table(
        results, PHENOTYPING, "factors",
        [
            Column("factor", "Factor"),
            Column("name", "Name"),
            Column("explained", "Explains", share),
            Column("congruence", "Congruence", digits(2)),
            Column("congruence_low", "5th percentile", digits(2)),
            Column("top_items", "Items with the largest loadings"),
        ],
        "Factors of the phenotypes",
        note="Congruence: how alike a factor comes out in two halves of the participants (Tucker's, median), 1 is alike.",
    )  # fmt: skip
    section.blocks += picture(
        results,
        PHENOTYPING,
        "loadings.png",
        "Loadings of every item on every factor.",
        f"Loadings: how much each item belongs to each factor. Numbers: {PHENOTYPING}/loadings.tsv.",
    )
    loadings = results.table(PHENOTYPING, "loadings")
    if loadings is not None:
        names = [name for name in loadings.columns if name not in ("item", "label", "communality")]
        columns = [Column("label", "Item"), *[Column(name, name, digits(2)) for name in names]]
        columns.append(Column("communality", "Communality", digits(2)))
        section.blocks += table(results, PHENOTYPING, "loadings", columns, "Loadings")
    if items is not None:
        rows = items[items["state"] != "used"]
        columns = [
            Column("label", "Item"),
            Column("state", "State"),
            Column("reason", "Reason"),
            Column("missing", "Missing", share),
        ]
        if len(rows):
            section.blocks.append(make_table(rows, columns, "Items that are in no factor", f"{PHENOTYPING}/items.tsv"))
    section.blocks += table(
        results, PHENOTYPING, "code_covariates",
        [
            Column("covariate", "Covariate"),
            Column("share", "Alone", share),
            Column("share_last", "Beyond all others", share),
        ],
        "Share of the embeddings' variance that covariates explain", descriptive=True,
    )  # fmt: skip
    return section
