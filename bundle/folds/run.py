"""One fold: a list of participants, a network trained on most of them, and what it is worth for the rest."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bundle.analysis.fold_split import validation_people
from bundle.data.atomic import write_text
from bundle.data.datalist import Item, datalist_to_json, people_hash
from bundle.data.json_files import read_json, write_json
from bundle.data.one_at_a_time import one_at_a_time
from bundle.data.problems import InputProblems
from bundle.data.tables import read_table
from bundle.folds.settings import CONFIGS, IMAGES_HASH, FoldSettings, differences
from bundle.paths import CHECKPOINT, DATALIST, EVALUATION, FOLDS, TRAINING, stage_folder
from bundle.running.stage_process import run_stage

logger = logging.getLogger(__name__)
RECORD = "fold.json"
OUTPUTS = {"training": f"{TRAINING}/{CHECKPOINT}", "evaluating": f"{EVALUATION}/summary.tsv"}
"""Stage -> a file that it leaves."""


def fold_folder(output_dir: str, number: int) -> Path:
    """Results folder of a fold, inside that of the cross-validation."""
    return stage_folder(output_dir, FOLDS) / f"fold_{number:02d}"


def fold_sections(
    items: Sequence[Item], folds: np.ndarray, number: int, validation_fraction: float, seed: int
) -> dict[str, list[Item]]:
    """Who trains, who watches training, and who is held out in one fold; families are never divided.

    Args:
        items: all participants.
        folds: `(N,)` fold of each.
        number: of the fold that is held out.
        validation_fraction: share of the families of the other folds that watch.
        seed: of that choice; every fold makes another one.

    Raises:
        InputProblems: if no participant would be left to train.
    """
    others = [item for item, fold in zip(items, folds, strict=True) if fold != number]
    try:
        watching = validation_people([item["family_id"] for item in others], validation_fraction, seed + number)
    except ValueError as error:
        raise InputProblems(
            "Folds",
            [
                f"The {len({item['family_id'] for item in others})} families beside fold {number} cannot fill training and "
                f"validation at --validation_fraction {validation_fraction} ({error})."
            ],
        ) from error
    return {
        "training": [item for item, watches in zip(others, watching, strict=True) if not watches],
        "validation": [item for item, watches in zip(others, watching, strict=True) if watches],
        "test": [item for item, fold in zip(items, folds, strict=True) if fold == number],
    }


@dataclass(frozen=True)
class FoldRun:
    """A fold on disk: `<output_dir>/folds/fold_03`, with `fold.json` that says what it is made with.

    Args:
        number: of the fold.
        folder: its results folder.
        sections: its participants.
        settings: of all folds.
        images_hash: of the whole cohort's images.
    """

    number: int
    folder: Path
    sections: Mapping[str, list[Item]]
    settings: FoldSettings
    images_hash: str = ""

    @property
    def made_with(self) -> dict[str, Any]:
        """Settings, twelve digits of what the cohort's images show, and twelve of who is where."""
        return {**self.settings.made_with, IMAGES_HASH: self.images_hash, "people": people_hash(self.sections)}

    @property
    def is_finished(self) -> bool:
        """Whether its evaluation came to its end and is there; `problems` says whether it is this fold's."""
        return is_finished(self.folder)

    def problems(self) -> list[str]:
        """A sentence if the folder holds a fold made with something else."""
        before = read_record(self.folder)
        if before is None:
            if any((self.folder / file).is_file() for file in OUTPUTS.values()):
                return [
                    f"{self.folder} holds a run without {RECORD}, so no participant knows what of: choose another folder."
                ]
            return []
        differing = differences(before["made_with"], self.made_with)
        if not differing:
            return []
        return [
            f"Fold {self.number} in {self.folder} was made with other settings ({'; '.join(differing)}): give those, or "
            "choose another --output_dir."
        ]

    def run(self, environment: Mapping[str, str], stop: threading.Event) -> None:
        """Train and evaluate in processes of their own, from where an earlier run was stopped.

        Where another process runs this fold, it is waited for.

        Args:
            environment: variables of those processes.
            stop: once set, they are interrupted.

        Raises:
            InputProblems: if another process has made the fold with something else.
            StageFailed: if a stage fails.
        """
        with one_at_a_time(self.folder, stop):
            if problems := self.problems():
                raise InputProblems("Folds", problems)
            if not self.is_finished:
                self._run(environment, stop)

    def _run(self, environment: Mapping[str, str], stop: threading.Event) -> None:
        datalist = self.folder / DATALIST
        write_text(datalist_to_json(self.sections), datalist)
        record = read_record(self.folder) or {"made_with": self.made_with, "seconds": {}}
        for run_id, config in CONFIGS.items():
            if run_id in record["seconds"] and (self.folder / OUTPUTS[run_id]).is_file():
                continue
            later = list(CONFIGS)[list(CONFIGS).index(run_id) :]  # what follows is of the output that is gone
            record["seconds"] = {name: value for name, value in record["seconds"].items() if name not in later}
            write_json(record, self.folder / RECORD)
            overlay = self.folder / f"overlay_{run_id}.json"
            write_json(self.settings.overlays[run_id], overlay)
            options: dict[str, Any] = {"output_dir": str(self.folder)}
            if run_id == "training":
                resume = (self.folder / TRAINING / CHECKPOINT).is_file()
                options |= {"dataset_dir": str(datalist), **({"resume": True} if resume else {})}
            log = self.folder / f"{run_id}.log"
            record["seconds"][run_id] = round(
                run_stage(run_id, [config, overlay], options, log, environment=environment, stop=stop), 1
            )
        write_json(record, self.folder / RECORD)


def is_finished(folder: Path) -> bool:
    """Whether a fold's evaluation is recorded, which it is once its last file is written, and was not deleted since."""
    record = read_record(folder)
    return record is not None and "evaluating" in record["seconds"] and (folder / OUTPUTS["evaluating"]).is_file()


def read_record(folder: Path) -> dict[str, Any] | None:
    """What a fold was made with (`made_with`) and how long its stages took (`seconds`); None if it was not begun."""
    file = folder / RECORD
    return read_json(file) if file.is_file() else None


def read_people(folder: Path) -> pd.DataFrame:
    """Figures of a fold's held-out participants, a row per participant and modality.

    Raises:
        InputProblems: if the file is no table.
    """
    file = folder / EVALUATION / "people.tsv"
    try:
        return read_table(file, dtype={"participant_id": str})
    except (OSError, ValueError) as error:
        raise InputProblems(
            "Folds", [f"{file} cannot be read ({error}): delete {folder} and run the fold again."]
        ) from error
