"""The report's sections on phenotypes: factors, strata against factors, the continuum, and what shows in which map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bundle.analysis.phenotyping import BOTH_ADJUSTED, PHENOTYPE_ADJUSTED, RAW, VALIDATION
from bundle.paths import PHENOTYPING
from bundle.report.blocks import Column, Figure, Section, Table, Text, make_table
from bundle.report.numbers import as_written, count, counted, digits, least_p, listed, p_value, share, words
from bundle.report.pictures import effects_picture
from bundle.report.results import Results
from bundle.report.stage_blocks import absent, own_picture, picture, table

VERSIONS = (RAW, PHENOTYPE_ADJUSTED, BOTH_ADJUSTED)
"""Three ways to treat covariates, of the same people."""
NAMED = Column("named", "Factor")
VERSIONS_IN_WORDS = (
    "Raw: nothing taken out. Phenotype adjusted: covariates taken out of the phenotypes. Code and phenotype "
    "adjusted: out of the codes too, before strata were looked for."
)


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
        note="Congruence: how alike a factor comes out in two halves of the people (Tucker's, median), 1 is alike.",
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
        "Share of the codes' variance that covariates explain", descriptive=True,
    )  # fmt: skip
    return section


def profile_section(results: Results) -> Section:
    """In which factors the strata differ."""
    section = Section("profile", "Strata and phenotypes")
    facts = results.facts[PHENOTYPING]
    tests = results.table(PHENOTYPING, "tests")
    if tests is None:
        section.blocks.append(Text("Strata were not tested against phenotypes.", "note"))
        return section
    primary = str(facts["primary"])
    section.blocks += picture(
        results,
        PHENOTYPING,
        "profile.png",
        "Mean of each stratum in each factor, with intervals.",
        "Profile of the strata: mean of each stratum in each factor in standard deviations, with 95 % intervals "
        f"(families resampled). Numbers: {PHENOTYPING}/profile.tsv.",
    )
    section.blocks += _tests_table(results, tests, primary)
    section.blocks += comparison(results, tests)
    section.blocks += _validation(results, tests)
    pairs = results.table(PHENOTYPING, "pairs")
    if pairs is not None:
        rows = _named(pairs[pairs["version"] == primary])
        columns = [
            NAMED,
            Column("stratum_a", "Stratum"),
            Column("stratum_b", "Against"),
            Column("z", "z", digits(2)),
            Column("p", "p", p_value),
            Column("p_holm", "p (Holm)", p_value),
        ]
        note = "Dunn's test, inside factors that were found to differ. A positive z: the first stratum is higher."
        if len(rows):
            section.blocks.append(
                make_table(rows, columns, f"Which strata differ ({primary})", f"{PHENOTYPING}/pairs.tsv", note)
            )
    profile = results.table(PHENOTYPING, "profile")
    if profile is not None:
        rows = profile[profile["version"] == primary]
        heads = "Stratum " + rows["stratum"] + " (" + rows["n_people"].map(count) + ")"
        note = "Mean in standard deviations, with its 95 % interval (families resampled); people in brackets."
        caption = f"Profile ({primary})"
        section.blocks.append(_spread(rows, heads, "mean", 2, caption, f"{PHENOTYPING}/profile.tsv", note))
    section.blocks += _strata_people(results)
    return section


def comparison(results: Results, tests: pd.DataFrame) -> list[Figure | Table]:
    """Effects in three versions side by side: does a finding outlive the covariates?"""
    versions = [version for version in VERSIONS if (tests["version"] == version).any()]
    if not versions:
        return []
    shown = tests[tests["version"].isin(versions)]
    figure = own_picture(
        effects_picture(shown, versions),
        "Effect size of each factor with its interval in each version.",
        f"Effect sizes. Filled: found to differ between strata. {VERSIONS_IN_WORDS} Numbers: {PHENOTYPING}/tests.tsv.",
    )
    wide = _named(shown.drop_duplicates("factor"))[["factor", "named"]]
    columns = [NAMED]
    for number, version in enumerate(versions):
        own = shown.loc[shown["version"] == version, ["factor", "epsilon_squared", "p", "q", "found"]]
        own = own.rename(columns={name: f"{name}_{number}" for name in own.columns if name != "factor"})
        wide = wide.merge(own, on="factor", how="left")
        columns += [
            Column(f"epsilon_squared_{number}", "ε²", digits(3)),
            Column(f"p_{number}", "p", p_value),
            Column(f"q_{number}", "q", p_value),
            Column(f"found_{number}", "found", lambda value: "yes" if value == "True" else "no"),
        ]
    groups = [("", 1), *[(version[0].upper() + version[1:], 4) for version in versions]]
    note = f"{VERSIONS_IN_WORDS} q: Benjamini-Hochberg over factors."
    return [
        figure,
        make_table(wide, columns, "Strata against factors, three ways", f"{PHENOTYPING}/tests.tsv", note, groups),
    ]


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """With the factor's number and name in one column."""
    return frame.assign(named=frame["factor"] + " " + frame["name"])


def _spread(
    frame: pd.DataFrame, heads: pd.Series, value: str, places: int, caption: str, file: str, note: str
) -> Table:
    """A row per factor, a column for each of `heads`, in every cell a value with its interval."""
    write = digits(places)
    cells = [f"{write(row[value])} ({write(row['low'])} to {write(row['high'])})" for row in frame.to_dict("records")]
    names = list(dict.fromkeys(heads))
    wide = (
        _named(frame).assign(head=heads, cell=cells).pivot_table("cell", "named", "head", aggfunc="first", sort=False)
    )
    columns = [NAMED, *[Column(name, name, as_written) for name in names]]
    return make_table(wide.reset_index(), columns, caption, file, note)


def _tests_table(results: Results, tests: pd.DataFrame, version: str) -> list[Table]:
    rows = _named(tests[tests["version"] == version]).sort_values("p", kind="stable")
    if rows.empty:
        return []
    columns = [
        NAMED,
        Column("n_people", "People", count),
        Column("h", "H", digits(1)),
        Column("p", "p", p_value),
        Column("q", "q", p_value),
        Column("epsilon_squared", "ε²", digits(3)),
        Column("low", "low", digits(3)),
        Column("high", "high", digits(3)),
        Column("least_detectable", "Detectable", digits(3)),
        Column("found", "Found", lambda value: "yes" if value == "True" else "no"),
    ]
    note = (
        f"Kruskal-Wallis H; p by permutation, {least_p(int(results.facts[PHENOTYPING]['n_permutations']))} q: "
        "Benjamini-Hochberg over factors. ε²: epsilon squared, the share of rank variance between strata, with its "
        "95 % interval. Detectable: the ε² that strata like these would show in four of five cohorts; smaller ones are "
        "found by luck."
    )
    return [make_table(rows, columns, f"Strata against factors ({version})", f"{PHENOTYPING}/tests.tsv", note)]


def _validation(results: Results, tests: pd.DataFrame) -> list[Text | Table]:
    tables = _tests_table(results, tests, VALIDATION)
    meaning = (
        "Validation: strata and factors were made without some of the families, and tested on the people of those. "
        "They are fewer, so less can be seen; the factors are of the others and need not be those above."
    )
    return [Text(meaning), *tables] if tables else []


def _strata_people(results: Results) -> list[Table]:
    frame = results.table(PHENOTYPING, "strata_people")
    if frame is None:
        return []
    frame = frame.assign(
        what=[_variable(row) for row in frame.to_dict("records")],
        value=[_value(row) for row in frame.to_dict("records")],
        column="Stratum " + frame["stratum"].map(words),
    )
    columns = list(dict.fromkeys(frame["column"]))
    wide = (
        frame.pivot_table("value", "what", "column", aggfunc="first", sort=False)
        .reset_index()
        .reindex(columns=["what", *columns])
    )
    shown = [Column("what", "Variable"), *[Column(name, name, as_written) for name in columns]]
    note = "Mean and standard deviation, or share of people."
    return [
        make_table(wide, shown, "Who is in each stratum", f"{PHENOTYPING}/strata_people.tsv", note, descriptive=True)
    ]


def _variable(row: Mapping[str, Any]) -> str:
    return words(row["variable"]) if pd.isna(row["level"]) else f"{row['variable']}: {row['level']}"


def _value(row: Mapping[str, Any]) -> str:
    if not pd.isna(row["level"]):
        return share(row["mean"])
    write = digits(0 if row["sd"] >= 10 else 2)
    return f"{write(row['mean'])} ± {write(row['sd'])}"


def continuum_section(results: Results) -> Section:
    """How much of each factor codes predict without strata."""
    section = Section("continuum", "Continuum")
    frame = results.table(PHENOTYPING, "continuum")
    if frame is None:
        section.blocks.append(Text("The continuum was not analysed.", "note"))
        return section
    if results.has_strata:
        meaning = "If codes predict a factor better than strata do, people differ by degrees as well as by stratum."
    else:
        meaning = "Without strata the question is how much of each factor the codes predict by degrees."
    section.blocks.append(
        Text(
            f"{meaning} R² is measured on families that the prediction was not fitted to: 0 is no better than the "
            "mean, below 0 is worse."
        )
    )
    section.blocks += picture(
        results,
        PHENOTYPING,
        "continuum.png",
        "Cross-validated R squared of each factor by predictor, with intervals.",
        f"What strata and codes predict of each factor, with 95 % intervals. Numbers: {PHENOTYPING}/continuum.tsv.",
    )
    primary = str(results.facts[PHENOTYPING]["primary"])
    rows = frame[frame["version"] == primary]
    verdict = continuum_verdict(rows)
    if verdict:
        section.blocks.append(Text(verdict))
    heads = rows["predictor"] + " (" + rows["n_predictors"].map(count) + ")"
    note = (
        "R² with its 95 % interval; in brackets how many values predict. Components: as many of the codes' principal "
        "axes as strata need. Ridge: all axes that hold the whole code, with weights shrunk. Linear fusion: the same on "
        "principal components of the maps themselves, without the network."
    )
    caption = f"Factors predicted ({primary})"
    section.blocks.append(_spread(rows, heads, "r2", 2, caption, f"{PHENOTYPING}/continuum.tsv", note))
    return section


def continuum_verdict(rows: pd.DataFrame) -> str:
    """In which factors the whole code says more than strata, or less; empty without strata."""
    if "above_low" not in rows or "strata" not in set(rows["predictor"]):
        return ""
    ridge = rows[rows["predictor"] == "ridge"].set_index("factor")
    more, less = ridge.index[ridge["above_low"] > 0], ridge.index[ridge["above_high"] < 0]
    parts = []
    if len(more):
        parts.append(
            f"The whole code predicts {listed(list(more))} better than strata do: there, people differ by degrees."
        )
    if len(less):
        parts.append(f"Strata predict {listed(list(less))} better than the whole code.")
    if len(more) + len(less) < len(ridge):
        parts.append("For the other factors neither is better beyond chance (95 % intervals of the difference).")
    return " ".join(parts)


def contributions_section(results: Results) -> Section:
    """In which maps strata and code values show."""
    section = Section("contributions", "What shows in which map")
    if results.table(PHENOTYPING, "modality_share") is None:
        section.blocks.append(Text("Images were not used, or are not those of these strata.", "note"))
        return section
    section.blocks.append(
        Text(
            "Descriptive: strata were made from these very images, so that they differ in them is no finding. The "
            "network draws each code, and the codes change when a map is taken away.",
            "note",
        )
    )
    section.blocks += picture(
        results,
        PHENOTYPING,
        "maps.png",
        "Maps drawn from each stratum's exemplar code minus those drawn from the mean code.",
        f"Drawn exemplar of each stratum minus the drawn mean code. Volumes: {PHENOTYPING}/maps/.",
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
