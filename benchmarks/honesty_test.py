"""The honesty test: does the embedding carry the participant, more than PCA does, and as much as noise allows?

    python benchmarks/honesty_test.py --output_dir output/honesty --seeds 0 1 2 --single_modality_seeds 0 1 2

For each seed: draw the synthetic cohort of that seed (0 is the embedded default), train the default model with that
seed, evaluate the test split once. Then read the truth: the noise ceiling per modality, and how well ridge
regression predicts the true factors from the joint embedding and from the embeddings of networks that saw one modality only
(five folds of whole families, over all participants: the encoder saw the training participants' images, never their factors).
Finished parts are not repeated, interrupted ones resumed. Prints Markdown tables; writes `honesty.tsv`, `factors.tsv`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import torch

from bundle.analysis.factor_prediction import factor_prediction
from bundle.data.embedding_table import read_embedding_table
from bundle.running.stage_process import run_stage
from bundle.study.results import true_factors

MODALITIES = ("T1w", "FA", "NDI", "JAC")


def run(run_id: str, config: str, output_dir: Path, **options: object) -> float:
    """Run a stage in a process of its own; seconds it took."""
    given = {"output_dir": output_dir, **options}
    return run_stage(run_id, [f"configs/{config}.yaml"], given, output_dir / f"{run_id}.log")


def train_and_embed(output_dir: Path, cohort: Path | None, **options: object) -> float:
    """Train unless that is done, embed all participants; training seconds (cohort included if it was drawn), or NaN."""
    seconds = float("nan")
    if not (output_dir / "2_training" / "reconstruction.png").is_file():
        given: dict[str, object] = {} if cohort is None else {"dataset_dir": cohort}
        if (output_dir / "2_training" / "checkpoint.pt").is_file():
            given["resume"] = "true"
        seconds = run("training", "train", output_dir, **given, **options)
    own = {name: value for name, value in options.items() if name == "modalities"}
    everybody = output_dir / "1_prepared" / "cohort" if cohort is None else cohort
    run("embedding", "inference", output_dir, dataset_dir=everybody, **own)
    return seconds


def noise_ceiling(output_dir: Path, cohort: Path) -> dict[str, float]:
    """R² that the noise-free images themselves have on the test split."""
    state = torch.load(output_dir / "2_training" / "model.pt", weights_only=True)
    mask, mean_image = state["scaling.brain_mask"].numpy() > 0, state["scaling.mean_image"].numpy()
    test = json.loads((output_dir / "1_prepared" / "datalist.json").read_text())["test"]
    ceilings = {}
    for channel, modality in enumerate(MODALITIES):
        error = reference = 0.0
        for item in test:
            name = item["participant_id"]
            image = nib.load(item[modality]).get_fdata()[mask]
            clean = nib.load(cohort / "truth" / name / f"{name}_{modality}.nii.gz").get_fdata()[mask]
            error += np.square(image - clean).sum()
            reference += np.square(image - mean_image[channel][mask]).sum()
        ceilings[modality] = 1 - error / reference
    return ceilings


def predicted_factors(output_dir: Path, cohort: Path) -> np.ndarray:
    """Cross-validated correlation of predicted with true factors, one per factor."""
    table = read_embedding_table(output_dir / "4_embeddings")
    return factor_prediction(table.codes, *true_factors(cohort, table.participant_ids))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output_dir", type=Path, default=Path("output/honesty"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--single_modality_seeds", type=int, nargs="*", default=[0, 1, 2])
    arguments = parser.parse_args()
    rows, factor_rows = [], []
    for seed in arguments.seeds:
        folder = arguments.output_dir.resolve() / f"seed_{seed}"
        cohort = folder / "joint" / "1_prepared" / "cohort"
        options = {"seed": seed, "synthetic::seed": seed}
        seconds = train_and_embed(folder / "joint", None, **options)
        evaluating = run("evaluating", "evaluate", folder / "joint")
        print(f"seed {seed}: trained in {seconds:.0f} s, evaluated in {evaluating:.0f} s", flush=True)
        summary = pd.read_csv(folder / "joint" / "3_evaluation" / "summary.tsv", sep="\t")
        summary["ceiling"] = summary["modality"].map(noise_ceiling(folder / "joint", cohort))
        summary["of_ceiling"] = summary["r2"] / summary["ceiling"]
        summary["swap_loss"] = (summary["r2"] - summary["r2_code_swapped"]) / summary["r2"]
        rows.append(summary.assign(seed=seed))
        factor_rows.append({"seed": seed, "code": "joint", "r": predicted_factors(folder / "joint", cohort)})
        if seed in arguments.single_modality_seeds:
            for modality in MODALITIES:
                train_and_embed(folder / modality, cohort, seed=seed, modalities=f"['{modality}']")
                factor_rows.append({"seed": seed, "code": modality, "r": predicted_factors(folder / modality, cohort)})
    report(pd.concat(rows), factor_rows, arguments.output_dir)


def report(table: pd.DataFrame, factor_rows: list[dict], output_dir: Path) -> None:
    """Print medians with ranges over seeds and write every figure."""
    table.to_csv(output_dir / "honesty.tsv", sep="\t", index=False)
    factors = [{"seed": row["seed"], "code": row["code"], **dict(enumerate(row["r"], 1))} for row in factor_rows]
    pd.DataFrame(factors).to_csv(output_dir / "factors.tsv", sep="\t", index=False)
    figures = ["r2", "pca_r2", "ceiling", "of_ceiling", "swap_loss", "identifiability"]
    print("\n| modality | " + " | ".join(figures) + " |\n|" + " --- |" * (len(figures) + 1))
    for modality in MODALITIES:
        mine = table[table["modality"] == modality]
        print(f"| {modality} | " + " | ".join(spread(mine[figure]) for figure in figures) + " |")
    print("\n| embedding | mean r over factors | least r over factors |\n| --- | --- | --- |")
    for code in dict.fromkeys(row["code"] for row in factor_rows):
        chosen = [row["r"] for row in factor_rows if row["code"] == code]
        print(f"| {code} | {spread([r.mean() for r in chosen])} | {spread([r.min() for r in chosen])} |")


def spread(values) -> str:
    """Median (least to most)."""
    values = np.asarray(values, dtype=float)
    return f"{np.median(values):.3f} ({values.min():.3f} to {values.max():.3f})"


if __name__ == "__main__":
    main()
