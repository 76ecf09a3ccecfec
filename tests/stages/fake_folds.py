"""Cross-validation without images: stages that write what real ones would, and made-up figures of participants."""

import json

import numpy as np
import pandas as pd

from bundle.folds.settings import fold_settings
from bundle.running.stage_process import StageFailed
from bundle.stages.check_folds import check_folds
from bundle.stages.cross_validate import cross_validate
from tests.conftest import PATTERNS

MAPS = ["T1w", "JAC"]
SHARED = {"modalities": MAPS, "spatial_size": [32, 32, 24], "seed": 0, "num_workers": 1}


def checked(output_dir, cohort, **options):
    settings = {"participants": None, "synthetic": {}, "n_folds": 3, "stratify": "usual", "folds_file": None, "seed": 0}
    return check_folds(str(output_dir), str(cohort), PATTERNS, MAPS, **(settings | options), progress=False)


def run(output_dir, cohort, training=None, seed=0, fold=None, **options):
    found = checked(output_dir, cohort, seed=seed, **options)
    cross_validate(
        str(output_dir), found, fold_settings(training, SHARED | {"seed": seed}), 0.2, seed, fold, progress=False
    )


class FakeStages:
    """Stands in for `run_stage`: writes what the stages would, without images, and notes what was called."""

    def __init__(self):
        self.calls, self.resumed, self.broken, self.interrupted = [], [], {}, {}

    def __call__(self, run_id, config_files, options, log_file, environment, stop):
        fold = log_file.parent.name
        self.calls.append((fold, run_id))
        if self.interrupted.pop((fold, run_id), False):
            raise StageFailed(f"Stage {run_id}", ["Interrupted"], stopped=True)
        if (fold, run_id) in self.broken:
            raise StageFailed(f"Stage {run_id}", [f"It failed; {log_file} ends with\n    {self.broken[fold, run_id]}"])
        if run_id == "training":
            self.resumed += [fold] if options.get("resume") else []
            self.write(log_file.parent / "2_training" / "checkpoint.pt", "weights")
        else:
            held_out = json.loads((log_file.parent / "datalist.json").read_text())["test"]
            people = figures([item for item in held_out if set(MAPS) <= set(item)])
            folder = log_file.parent / "3_evaluation"
            self.write(folder / "people.tsv", people.to_csv(sep="\t", index=False))
            self.write(folder / "summary.tsv", "modality\n")
        return 1.0

    def write(self, file, text):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def residuals(name, modality):
    """Made-up `(images, drawn, PCA's)` of a participant, always the same."""
    rng = np.random.default_rng(sum(map(ord, name + modality)))
    images = rng.standard_normal(50) * rng.uniform(0.5, 2)
    return images, images + 0.3 * rng.standard_normal(50), images + 0.4 * rng.standard_normal(50)


def figures(items):
    rows = []
    for item in items:
        for modality in MAPS:
            images, drawn, pca = residuals(item["participant_id"], modality)
            error, pca_error = (np.square(images - other).sum() for other in (drawn, pca))
            rows.append(
                {"participant_id": item["participant_id"], "modality": modality, "squared_error": error,
                 "pca_squared_error": pca_error, "squared_residual": np.square(images).sum(), "mse_mask": error / 50,
                 "norm_diff": 0.1, "ssim": 0.9, "cnr_ratio": 1.1 if modality == "T1w" else np.nan,
                 "own_image_is_nearest": error < 5}
            )  # fmt: skip
    return pd.DataFrame(rows)


def all_calls(n_folds=3):
    return [(f"fold_{number:02d}", stage) for number in range(1, n_folds + 1) for stage in ("training", "evaluating")]
