"""Where every stage writes: one folder per stage, in the order in which they run."""

from __future__ import annotations

from pathlib import Path

PREPARED = "1_prepared"
TRAINING = "2_training"
EVALUATION = "3_evaluation"
EMBEDDINGS = "4_embeddings"
CLUSTERS = "5_clusters"
ASSIGNED = "5_assigned"
PHENOTYPING = "6_phenotypes"
REPORT = "7_report"
CROSS_VALIDATION = "8_cross_validation"
FOLDS = "folds"
CALIBRATION = "calibration"

COHORT = "cohort"
DATALIST = "datalist.json"
PARTICIPANTS = "participants.tsv"
PHENOTYPES = "phenotypes.tsv"
TRUTH = "truth"
BEST_MODEL = "model.pt"
CHECKPOINT = "checkpoint.pt"
STRATIFIER = "stratifier.npz"


def stage_folder(output_dir: str | Path, stage: str) -> Path:
    """`<output_dir>/<stage>`, absolute, not created."""
    return Path(output_dir).expanduser().resolve() / stage
