"""Where every stage writes: one folder per stage, in the order in which they run."""

from __future__ import annotations

from pathlib import Path

CHECKED = "0_checked"
MAPPED = "0_mapped"
GATHERED = "0_cohort"
PREPARED = "1_prepared"
TRAINING = "2_training"
EVALUATION = "3_evaluation"
EMBEDDINGS = "4_embeddings"
CLUSTERS = "5_clusters"
ASSIGNED = "5_assigned"
PHENOTYPING = "6_phenotypes"
PREDICTION = "6_prediction"
REPORT = "7_report"
CROSS_VALIDATION = "8_cross_validation"
PACKAGE = "9_package"
FOLDS = "folds"
CALIBRATION = "calibration"

COHORT = "cohort"
DATALIST = "datalist.json"
PARTICIPANTS = "participants.tsv"
PHENOTYPES = "phenotypes.tsv"
TRUTH = "truth"
RESTRICTED = "restricted"
PREPARATION = "preparation.json"
BEST_MODEL = "model.pt"
CHECKPOINT = "checkpoint.pt"
STRATIFIER = "stratifier.npz"
EVALUATED = "evaluation.json"
FOLD_TABLE = "folds.tsv"


def stage_folder(output_dir: str | Path, stage: str) -> Path:
    """`<output_dir>/<stage>`, absolute, not created."""
    return Path(output_dir).expanduser().resolve() / stage


def bundle_root() -> str:
    """The folder that this code is in: the repository, or an unpacked package with its `models/`."""
    return str(Path(__file__).resolve().parent.parent)


def shown_command(run_id: str, config: str) -> str:
    """`python -m monai.bundle run RUN_ID --config_file ...`, with the config's path as it is seen from here.

    In the repository that is `configs/train.yaml`; beside an unpacked package it is `brainstrata/configs/train.yaml`.
    """
    file = Path(bundle_root()) / "configs" / config
    seen = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    return f"python -m monai.bundle run {run_id} --config_file {seen}"


def beside_datalist(datalist: str | Path, name: str) -> Path | None:
    """The table of that name that belongs to a datalist or a cohort folder, with restricted columns if there are such.

    `preparing` writes them: `restricted/NAME` beside the datalist where restricted columns are kept, else `NAME`.
    """
    folder = Path(datalist) if Path(datalist).is_dir() else Path(datalist).parent
    return next((file for file in (folder / RESTRICTED / name, folder / name) if file.is_file()), None)
