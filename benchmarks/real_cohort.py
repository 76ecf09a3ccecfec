"""Trains and evaluates on several random splits of a real cohort, and pools what the test participants of all splits say.

    python -m benchmarks.real_cohort --cohort ../shared/real/ixi/maps --modalities T1w GM WM JAC --output_dir output/real

Splits are 70 % training, 15 % validation, 15 % test, by whole families. A split that is done is not run again. Prints R2 of the network,
of the untrained network and of every linear embedding of the same size, and how far the network is ahead of the one that each
split's validation participants chose, with 95 % intervals of resampled families.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from bundle.analysis.held_out_figures import family_ratios
from bundle.data.cohort_folder import items_from_folder
from bundle.data.datalist import datalist_to_json
from bundle.data.family_split import split_by_family
from bundle.data.tables import read_table


def run_split(cohort: Path, modalities: list[str], folder: Path, seed: int, options: list[str]) -> None:
    """Train on one split and evaluate on its test participants."""
    patterns = {modality: "{participant_id}/{participant_id}_" + modality + ".nii.gz" for modality in modalities}
    items = items_from_folder(cohort, patterns, modalities)
    datalist = folder / "split.json"
    folder.mkdir(parents=True, exist_ok=True)
    datalist.write_text(datalist_to_json(split_by_family(items, 0.15, 0.15, seed)))
    shared = ["--output_dir", str(folder), "--modalities", str(modalities), "--progress", "False"]
    train = ["--config_file", "configs/train.yaml", "--dataset_dir", str(datalist), "--images", str(patterns), *options]
    evaluate = ["--config_file", "configs/evaluate.yaml"]
    for run_id, own in (("training", train), ("evaluating", evaluate)):
        subprocess.run([sys.executable, "-m", "monai.bundle", "run", run_id, *own, *shared], check=True)


def main() -> None:
    """Run what is missing, then print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=Path, required=True)
    parser.add_argument("--modalities", nargs="+", required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help="further options of training")
    arguments = parser.parse_args()
    people, linear, untrained = [], [], []
    for seed in range(arguments.splits):
        folder = arguments.output_dir / f"split_{seed}"
        if not (folder / "3_evaluation" / "evaluation.json").is_file():
            run_split(arguments.cohort, arguments.modalities, folder, seed, arguments.options)
        families = {
            item["participant_id"]: item["family_id"]
            for item in json.loads((folder / "split.json").read_text())["test"]
        }
        table = read_table(folder / "3_evaluation" / "people.tsv")
        people.append(table.assign(family_id=table["participant_id"].map(families)))
        linear.append(read_table(folder / "3_evaluation" / "linear_embeddings.tsv"))
        untrained.append(read_table(folder / "2_training" / "log.tsv").iloc[0])
    figures = pd.concat(linear).set_index("embedding")[[*arguments.modalities, "mean", "validation_mean"]].astype(float)
    print("Linear embeddings of the same size, test R2, mean of splits:")
    print(figures.groupby(level=0).mean().sort_values("mean").round(3).to_string())
    pooled = pd.concat(people)
    rows = {}
    for modality, own in pooled.groupby("modality", sort=False):
        sums = own[["squared_error", "linear_squared_error", "squared_residual"]].astype(float).to_numpy()
        left = np.stack([sums[:, 2] - sums[:, 0], sums[:, 2] - sums[:, 1], sums[:, 1] - sums[:, 0]], axis=1)
        found = family_ratios(left, np.repeat(sums[:, 2:], 3, axis=1), own["family_id"].tolist())
        rows[modality] = dict(zip(("network", "best linear", "ahead"), found[0], strict=True)) | {
            "low": found[1, 2],
            "high": found[2, 2],
        }
    table = pd.DataFrame(rows).T
    table.loc["mean"] = table.mean()
    table.loc["mean", ["low", "high"]] = np.nan
    print(f"\nTest R2 of {len(pooled['participant_id'].unique())} participants, {arguments.splits} splits:")
    print(table.round(3).to_string())
    print("\nValidation R2 before the first step (the linear embedding of the network):")
    print(
        pd.DataFrame(untrained)[[c for c in untrained[0].index if c.startswith(("r2", "r2"))]]
        .astype(float)
        .mean()
        .round(3)
        .to_string()
    )


if __name__ == "__main__":
    main()
