"""What the finished runs of a study gave: a row per seed, a row per run, and the page for participants."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score

from bundle.analysis.factor_prediction import factor_prediction
from bundle.analysis.seed_intervals import mean_and_interval
from bundle.data.embedding_table import read_embedding_table
from bundle.data.participants import read_participants
from bundle.data.tables import read_table
from bundle.paths import CLUSTERS, EMBEDDINGS, EVALUATION, TRUTH
from bundle.study.seed_run import SeedRun
from bundle.study.settings import StudySettings

CHANGED_CODES = ("zeroed", "mean", "swapped")
COSTS = ("parameters", "embedding_size", "epochs", "step_ms", "memory_gb", "cuda_memory_gb", "r2")
"""Figures of the first table, and an R² per modality; all others are of the second."""
WHOLE = ("parameters", "embedding_size", "epochs")


def seed_row(seed_run: SeedRun) -> dict[str, Any]:
    """Every figure of a finished run with one seed.

    Returns:
        `run`, `seed`, `parameters`, `embedding_size`, `epochs`, `step_ms` and `memory_gb` (see `TrainingLog`), `r2`
        (mean over maps) and `r2_<modality>`, `lost_code_zeroed`, `_mean`, `_swapped` (R², mean over maps, that is
        gone with another embedding), `identifiability`; where the cohort has a truth, `factors_r` and `least_factor_r`
        (mean and least over factors, see `factor_prediction`), and, if strata were looked for, `strata` (how many) and
        `ari`, their adjusted Rand index with the true ones (0 if none were found).
    """
    log = seed_run.log()
    summary = read_table(seed_run.folder / EVALUATION / "summary.tsv").set_index("modality")
    table = read_embedding_table(seed_run.folder / EMBEDDINGS)
    row: dict[str, Any] = {
        "run": seed_run.run.name,
        "seed": seed_run.seed,
        "parameters": seed_run.run.parameters,
        "embedding_size": table.codes.shape[1],
        "epochs": int(log["step_ms"].count()),  # the untrained network has a row, but took no step
        "step_ms": log["step_ms"].median(),
        "memory_gb": log["memory_gb"].max(),
    }
    if "cuda_memory_gb" in log:
        row["cuda_memory_gb"] = log["cuda_memory_gb"].max()
    row["r2"] = summary["r2"].mean()
    row |= {f"r2_{modality}": value for modality, value in summary["r2"].items()}
    for name in CHANGED_CODES:
        row[f"lost_code_{name}"] = (summary["r2"] - summary[f"r2_code_{name}"]).mean()
    row["identifiability"] = summary["identifiability"].mean()
    strata_file = seed_run.folder / CLUSTERS / "strata.tsv"
    strata = None
    if seed_run.clustering is not None and strata_file.is_file():
        strata = read_table(strata_file, {"participant_id": str}).set_index("participant_id")["stratum"]
        row["strata"] = strata.nunique()
    if (seed_run.cohort / TRUTH / "factors.tsv").is_file():
        correlations = factor_prediction(table.codes, *true_factors(seed_run.cohort, table.participant_ids))
        row |= {"factors_r": correlations.mean(), "least_factor_r": correlations.min()}
        if strata is not None:
            row["ari"] = adjusted_rand_score(_truth(seed_run.cohort).loc[strata.index, "stratum"], strata)
    return row


def true_factors(cohort: Path, names: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """True latent factors `(N, F)` of participants of a synthetic cohort, and their families."""
    families = read_participants(cohort).set_index("participant_id")["family_id"]
    factors = _truth(cohort).loc[list(names)].filter(like="factor_").to_numpy()
    return factors, families.loc[list(names)].tolist()


def _truth(cohort: Path) -> pd.DataFrame:
    return read_table(cohort / TRUTH / "factors.tsv", {"participant_id": str}).set_index("participant_id")


def run_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """A row per run, in order: `run`, `seeds`, and each figure's mean, `_low` and `_high` (95 % t interval over seeds)."""
    tables = []
    for run, mine in rows.groupby("run", sort=False):
        row: dict[str, Any] = {"run": run, "seeds": len(mine)}
        for figure in rows.columns.drop(["run", "seed"]):
            row[figure], row[f"{figure}_low"], row[f"{figure}_high"] = mean_and_interval(mine[figure])
        tables.append(row)
    return pd.DataFrame(tables)


def page(study: StudySettings, table: pd.DataFrame, facts: Sequence[str]) -> str:
    """The study in Markdown: question, what every run shares, two tables, how to read them.

    Args:
        study: what was asked.
        table: from `run_rows`.
        facts: sentences on cohort and seeds.
    """
    figures = [name for name in table.columns[2:] if not name.endswith(("_low", "_high")) and table[name].notna().any()]
    costs = [name for name in figures if name in COSTS or name.startswith("r2_")]
    notes = [
        "*step_ms* is the median training step, *memory_gb* the peak of the training process with its images, *R²* 1 - MSE "
        "/ MSE of the mean image on held-out participants (mean over the run's own maps), *lost_code_...* the R² that is gone with "
        "another embedding, *factors_r* the correlation of true factors with what ridge regression reads from the embedding."
    ]
    if (table["seeds"] > 1).any():
        notes.append("In brackets: 95 % t intervals over seeds (other split, weights and order; the same cohort).")
    if (table["seeds"] == 1).any():
        notes.append("(-): one seed, so nothing is known of how far another one would differ.")
    parts = [
        study.question,
        " ".join(facts),
        _markdown(table, costs),
        _markdown(table, [f for f in figures if f not in costs]),
    ]
    return "\n\n".join([*parts, " ".join(notes)]) + "\n"


def _markdown(table: pd.DataFrame, figures: Sequence[str]) -> str:
    lines = ["| run | " + " | ".join(figures) + " |", "|" + " --- |" * (len(figures) + 1)]
    for _, row in table.iterrows():
        lines.append(f"| {row['run']} | " + " | ".join(_cell(row, figure) for figure in figures) + " |")
    return "\n".join(lines)


def _cell(row: pd.Series, figure: str) -> str:
    mean, low, high = (row[figure + end] for end in ("", "_low", "_high"))
    if not np.isfinite(mean):
        return "-"
    if figure in WHOLE:
        return f"{mean:,.0f}"
    digits = 0 if figure in ("step_ms", "strata") else 3 if "r2" in figure or "lost" in figure else 2
    interval = f"{low:.{digits}f} to {high:.{digits}f}" if np.isfinite(low) else "-"
    return f"{mean:.{digits}f} ({interval})"
