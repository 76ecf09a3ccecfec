"""The report's section on strata against phenotype factors, and on who is in each stratum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bundle.analysis.phenotyping import BOTH_ADJUSTED, PHENOTYPE_ADJUSTED, RAW, VALIDATION
from bundle.paths import PHENOTYPING
from bundle.report.blocks import Column, Figure, Section, Table, Text, make_table, with_interval
from bundle.report.by_factor import NAMED, named, spread
from bundle.report.numbers import as_written, count, digits, least_p, p_value, share, words
from bundle.report.pictures import effects_picture
from bundle.report.results import Results
from bundle.report.stage_blocks import own_picture, picture

VERSIONS = (RAW, PHENOTYPE_ADJUSTED, BOTH_ADJUSTED)
"""Three ways to treat covariates, of the same participants."""
VERSIONS_IN_WORDS = (
    "Raw: nothing regressed out. Phenotype adjusted: covariates regressed out of the phenotypes. Embedding and phenotype "
    "adjusted: out of the embeddings too, before strata were looked for."
)


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
        rows = named(pairs[pairs["version"] == primary])
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
        note = "Mean in standard deviations, with its 95 % interval (families resampled); participants in brackets."
        caption = f"Profile ({primary})"
        section.blocks.append(spread(rows, heads, "mean", 2, caption, f"{PHENOTYPING}/profile.tsv", note))
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
    wide = named(shown.drop_duplicates("factor"))[["factor", "named"]]
    columns = [NAMED]
    for number, version in enumerate(versions):
        own = shown.loc[shown["version"] == version, ["factor", "epsilon_squared", "p", "q", "found"]]
        own = own.rename(columns={name: f"{name}_{number}" for name in own.columns if name != "factor"})
        wide = wide.merge(own, on="factor", how="left")
        columns += [
            Column(f"epsilon_squared_{number}", "ε²", digits(3)),
            Column(f"p_{number}", "p", p_value),
            Column(f"q_{number}", "q", p_value),
            Column(f"found_{number}", "found", _yes_or_no),
        ]
    groups = [("", 1), *[(version[0].upper() + version[1:], 4) for version in versions]]
    note = f"{VERSIONS_IN_WORDS} q: Benjamini-Hochberg over factors."
    return [
        figure,
        make_table(wide, columns, "Strata against factors, three ways", f"{PHENOTYPING}/tests.tsv", note, groups),
    ]


def _yes_or_no(value: Any) -> str:
    return "yes" if value == "True" else "no"


def _tests_table(results: Results, tests: pd.DataFrame, version: str) -> list[Table]:
    rows = named(tests[tests["version"] == version]).sort_values("p", kind="stable")
    if rows.empty:
        return []
    columns = [
        NAMED,
        Column("n_people", "Participants", count),
        Column("h", "H", digits(1)),
        Column("p", "p", p_value),
        Column("q", "q", p_value),
        *with_interval("epsilon_squared", "ε²", digits(3)),
        Column("least_detectable", "Detectable", digits(3)),
        Column("found", "Found", _yes_or_no),
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
        "Validation: strata and factors were made without some of the families, and tested on the participants of those. "
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
    note = "Mean and standard deviation, or share of participants."
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
