"""The report's section on cross-validation."""

from __future__ import annotations

import pandas as pd

from bundle.paths import CROSS_VALIDATION
from bundle.report.blocks import Column, Section, Text, with_interval
from bundle.report.numbers import count, counted, digits, listed, share
from bundle.report.results import Results
from bundle.report.stage_blocks import absent, picture, table

WIDTH = 900
COLUMNS = [
    Column("modality", "Map"),
    *with_interval("r2", "R²", digits(3), "r2_low", "r2_high"),
    Column("r2_lowest_fold", "Lowest fold", digits(3)),
    Column("r2_highest_fold", "highest", digits(3)),
    *with_interval("above_pca", "Above PCA", digits(3), "above_pca_low", "above_pca_high"),
    Column("mse_mask", "MSE in mask", digits(3)),
    Column("norm_diff", "NormDiff", digits(3)),
    Column("cnr_ratio", "CNR ratio", digits(2)),
]
FOLD_COLUMNS = [
    Column("fold", "Fold", count),
    Column("modality", "Map"),
    Column("n_people", "Participants", count),
    *with_interval("r2", "R²", digits(3), "r2_low", "r2_high"),
    Column("pca_r2", "PCA", digits(3)),
    *with_interval("above_pca", "Above PCA", digits(3), "above_pca_low", "above_pca_high"),
    Column("mse_mask", "MSE in mask", digits(3)),
    Column("identifiability", "Identified", share),
]


def cross_validation_section(results: Results) -> Section:
    """What networks that were each trained without a fold are worth for that fold."""
    section = Section("cross_validation", "Cross-validation")
    summary, facts = results.table(CROSS_VALIDATION, "summary"), results.facts.get(CROSS_VALIDATION)
    if summary is None or facts is None:
        section.blocks.append(absent(results, CROSS_VALIDATION))
        return section
    if facts["missing"] or facts.get("n_people_who_lack_a_map"):
        section.blocks.append(Text(str(facts["headline"]), "note"))
    first = summary.iloc[0]
    r2_values = listed([f"{digits(3)(row['r2'])} ({row['modality']})" for row in summary.to_dict("records")])
    low, high = first["identifiability_low"], first["identifiability_high"]
    interval = "" if pd.isna(low) else f" ({share(low)} to {share(high)})"
    families = counted(int(facts["n_families"]), "family", "families")
    section.blocks.append(
        Text(
            f"{count(facts['n_people'])} participants in {families} were each drawn by a network that was trained without them and "
            f"without their relatives: R² {r2_values}. {share(first['identifiability'])} of the reconstructions are nearer "
            f"to their own image than to that of anybody else in their fold{interval}. Intervals say what other "
            "families would change, not what another training would; how far the folds lie apart shows both."
        )
    )
    section.blocks += picture(
        results,
        CROSS_VALIDATION,
        "folds.png",
        f"R² in each of {facts['n_folds']} folds for {listed(list(summary['modality']))}.",
        "R² fold by fold; line and band are all held-out participants with their 95 % interval. Numbers: "
        f"{CROSS_VALIDATION}/per_fold.tsv.",
        WIDTH,
    )
    note = "Low and high: 95 % interval, families resampled. CNR ratio: grey against white matter, reconstruction over image."
    section.blocks += table(
        results,
        CROSS_VALIDATION,
        "summary",
        COLUMNS,
        "Reconstruction of all held-out participants, pooled over folds",
        note=note,
    )
    section.blocks += table(results, CROSS_VALIDATION, "per_fold", FOLD_COLUMNS, "The same fold by fold")
    return section
