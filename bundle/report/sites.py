"""The report's section on sites: what embeddings, strata and phenotypes owe to where participants were scanned."""

from __future__ import annotations

import pandas as pd

from bundle.analysis.site_tables import ALL_SITES
from bundle.paths import CLUSTERS, PHENOTYPING
from bundle.report.blocks import Column, Section, Table, Text, make_table, with_interval
from bundle.report.by_factor import NAMED, named
from bundle.report.numbers import as_written, count, digits, p_value, share, words
from bundle.report.results import Results
from bundle.report.stage_blocks import table

MOST_SITES = 8
"""Sites that have a column of their own; the file holds all."""


def sites_section(results: Results) -> list[Section]:
    """One section if a column of sites was there, none otherwise."""
    of_codes = results.facts.get(CLUSTERS, {}).get("site")
    of_scores = results.facts.get(PHENOTYPING, {}).get("site")
    if not of_codes and not of_scores:
        return []
    section = Section("sites", "Sites")
    if of_codes:
        section.blocks.append(Text(" ".join(of_codes["words"])))
        section.blocks += _codes(results)
    if of_scores:
        section.blocks.append(Text(" ".join(of_scores["words"])))
        section.blocks += _phenotypes(results)
    return [section]


def _codes(results: Results) -> list[Table]:
    blocks = table(
        results, CLUSTERS, "site_prediction",
        [
            Column("codes", "Codes"),
            *with_interval("accuracy", "Balanced accuracy", digits(2)),
            *with_interval("chance", "By chance", digits(2), "chance_low", "chance_high"),
            Column("p", "p", p_value),
        ],
        "Can the site be told from the embedding?",
        note="Mean over sites of the share of participants whose site is told right, by a model of other families (five folds), "
        "with its 95 % interval. By chance: 95 % of what families that exchange their sites give. Models of sites and "
        "covariates are those of the other folds too. n/a: no test, as sites were regressed out of these embeddings, or exchange moves "
        "few participants.",
    )  # fmt: skip
    sites = results.table(CLUSTERS, "sites")
    if sites is not None:
        found = [
            Column(name, f"Told, {name.removeprefix('found ')}", share) for name in sites if name.startswith("found ")
        ]
        columns = [
            Column("site", "Site"),
            Column("n_people", "Participants", count),
            Column("n_families", "Families", count),
        ]
        counts = results.table(CLUSTERS, "strata_sites")
        if counts is not None and results.has_clusters:
            cells = counts["n_people"].map(count) + " (" + counts["share"].map(share) + ")"
            heads = "Stratum " + counts["stratum"].map(count)
            wide = counts.assign(cell=cells, head=heads).pivot(index="site", columns="head", values="cell")
            sites = sites.merge(wide.reset_index(), on="site", how="left")
            columns += [Column(name, name, as_written) for name in dict.fromkeys(heads)]
        caption = "Participants of each site" + (" and their strata" if len(columns) > 3 else "")
        note = "Told: share of the site's participants whose site is told right." if found else ""
        blocks.append(make_table(sites, [*columns, *found], caption, f"{CLUSTERS}/sites.tsv, strata_sites.tsv", note))
    blocks += table(
        results, CLUSTERS, "site_covariates",
        [Column("covariate", "Covariate"), Column("share", "Between sites", share)],
        "Share of each covariate's variance that lies between sites",
        note="Near 100 %, the scanner cannot be told from the covariate, and no harmonising fixes that.",
        descriptive=True,
    )  # fmt: skip
    return blocks


def _phenotypes(results: Results) -> list[Table]:
    blocks = []
    between = results.table(PHENOTYPING, "factors_sites")
    if between is not None:
        columns = [
            NAMED,
            Column("n_people", "Participants", count),
            Column("h", "H", digits(1)),
            Column("p", "p", p_value),
            Column("q", "q", p_value),
            *with_interval("epsilon_squared", "ε²", digits(3)),
        ]
        note = "Kruskal-Wallis over sites, of scores as they are; p by exchanging whole families."
        caption = "Do phenotype factors differ between sites?"
        blocks.append(make_table(named(between), columns, caption, f"{PHENOTYPING}/factors_sites.tsv", note))
    within = results.table(PHENOTYPING, "site_tests")
    if within is not None:
        blocks.append(_within(within))
    means = results.table(PHENOTYPING, "site_means")
    if means is not None:
        blocks.append(_means(means))
    return blocks


def _within(tests: pd.DataFrame) -> Table:
    """Strata against factors at each site, a row per factor."""
    sites = [site for site in dict.fromkeys(tests["site"]) if site != ALL_SITES][:MOST_SITES]
    shown = [*sites, *([ALL_SITES] if (tests["site"] == ALL_SITES).any() else [])]
    rows = tests[tests["site"].isin(shown)]
    write = digits(3)
    cells = [f"{write(row['epsilon_squared'])} ({p_value(row['q'])})" for row in rows.to_dict("records")]
    wide = (
        named(rows).assign(cell=cells).pivot_table("cell", "named", "site", aggfunc="first", sort=False).reset_index()
    )
    columns = [NAMED, *[Column(site, _head(site), as_written) for site in shown]]
    note = (
        "ε² of strata among participants of one site, with q in brackets (Benjamini-Hochberg over sites and factors), in the "
        "version that counts. All: ranks within sites, families exchanged within sites, q over factors."
    )
    return make_table(wide, columns, "Strata against factors within sites", f"{PHENOTYPING}/site_tests.tsv", note)


def _head(site: str) -> str:
    return "All, within site" if site == ALL_SITES else f"Site {site}"


def _means(means: pd.DataFrame) -> Table:
    """Stratum, site and factor: a row per factor and site, a column per stratum."""
    write = digits(2)
    cells = [f"{write(row['mean'])} ({write(row['low'])} to {write(row['high'])})" for row in means.to_dict("records")]
    heads = "Stratum " + means["stratum"].map(words)
    wide = (
        named(means)
        .assign(cell=cells, head=heads)
        .pivot_table("cell", ["named", "site"], "head", aggfunc="first", sort=False)
    )
    columns = [
        NAMED,
        Column("site", "Site"),
        *[Column(name, name, as_written) for name in sorted(dict.fromkeys(heads))],
    ]
    note = "Mean in standard deviations with its 95 % interval (families resampled), in the version that counts."
    return make_table(wide.reset_index(), columns, "Stratum, site and factor", f"{PHENOTYPING}/site_means.tsv", note)
