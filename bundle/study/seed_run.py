"""One training of a study with one seed: its folder, its record, its stages."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from monai.bundle import ConfigParser

from bundle.data.atomic import atomic_path
from bundle.data.embedding_table import TABLE
from bundle.data.json_files import read_json
from bundle.data.one_at_a_time import one_at_a_time
from bundle.data.problems import InputProblems
from bundle.data.tables import read_table
from bundle.paths import CHECKPOINT, CLUSTERS, EMBEDDINGS, EVALUATION, TRAINING
from bundle.running.plain_settings import plain_settings
from bundle.running.stage_process import BUNDLE_ROOT, run_stage
from bundle.study.plan import PlannedRun

RECORD = "made_with.json"
SHARED = ("modalities", "spatial_size", "images", "num_workers")
"""Options of training that evaluating and embedding need, too."""
NOT_RECORDED = (
    *("bundle_root", "output_dir", "dataset_dir", "synthetic", "resume", "seed", "network_def"),
    *("cache_rate", "num_workers", "progress"),
)
"""Options of training that change no result, or that are recorded under another name."""
RECORDED_LATER = ("training", "reference")
"""Parts of a record that those of an earlier version do not have."""
OUTPUTS = {
    "training": f"{TRAINING}/log.tsv",
    "evaluating": f"{EVALUATION}/summary.tsv",
    "embedding": f"{EMBEDDINGS}/{TABLE}.npz",
    "clustering": f"{CLUSTERS}/strata.tsv",
}
"""Stage -> a file that it leaves and that the study's table is made of."""
StageRunner = Callable[[str, Sequence[str], Mapping[str, Any], Path], float]


@dataclass(frozen=True)
class SeedRun:
    """A planned run with a seed, in a folder of its own.

    Attributes:
        run: what is trained.
        seed: of split, weights and order.
        study_folder: of the study; this run's is `<study_folder>/<run>/seed_<seed>`.
        cohort: folder that all runs of the study read.
        cohort_facts: what that cohort is.
        clustering: options of clustering; None: strata are not looked for.
    """

    run: PlannedRun
    seed: int
    study_folder: Path
    cohort: Path
    cohort_facts: Mapping[str, Any]
    clustering: Mapping[str, Any] | None = None

    @property
    def folder(self) -> Path:
        """A results folder like any other."""
        return self.study_folder / self.run.name / f"seed_{self.seed}"

    @property
    def words(self) -> str:
        """For messages."""
        return f"{self.run.name}, seed {self.seed}"

    @property
    def stages(self) -> list[str]:
        """Run ids, in order."""
        return ["training", "evaluating", "embedding", *(["clustering"] if self.clustering is not None else [])]

    @property
    def made_with(self) -> dict[str, Any]:
        """Everything that the results depend on, as JSON gives it back."""
        facts = {
            "network": self.run.network,
            "options": self.run.options,
            "training": training_settings(self.run.options),
            "seed": self.seed,
            "cohort": self.cohort_facts,
            "clustering": self.clustering,
            "time_of": self.run.time_of,
            **({"reference": self.run.reference} if self.run.reference is not None else {}),
        }
        return json.loads(json.dumps(facts))

    def record(self) -> dict[str, Any]:
        """`made_with`, `finished` (stage -> seconds) and, under equal time, `max_epochs`; empty before the first stage."""
        file = self.folder / RECORD
        return read_json(file) if file.is_file() else {}

    def is_finished(self) -> bool:
        """Whether every stage has come to its end with these settings, and what it left is there."""
        record = self.record()
        return is_same(record.get("made_with", {}), self.made_with) and set(self.stages) <= set(self._finished(record))

    def _finished(self, record: Mapping[str, Any]) -> dict[str, float]:
        """Stages whose output is there, up to the first that is not: what follows is of the output that is gone."""
        kept = takewhile(
            lambda stage: stage in record.get("finished", {}) and (self.folder / OUTPUTS[stage]).is_file(), self.stages
        )
        return {stage: record["finished"][stage] for stage in kept}

    def problems(self) -> list[str]:
        """A sentence if something else was made under this name."""
        before = self.record().get("made_with")
        if before is None or is_same(before, self.made_with):
            return []
        differing = "; ".join(differences(before, comparable(before, self.made_with)))
        return [
            f"{self.words}: {self.folder} was made with other settings ({differing}): move it away, or rename the run."
        ]

    def carry_out(self, others: Mapping[str, SeedRun], runner: StageRunner = run_stage) -> None:
        """Run the stages that are not finished; a training that was broken off goes on.

        Where another process carries it out, it is waited for.

        Args:
            others: this seed's earlier runs by name, for `time_of`.
            runner: see `bundle.running.stage_process.run_stage`.

        Raises:
            InputProblems: if a stage fails, or another process has made something else here.
        """
        with one_at_a_time(self.folder):
            if problems := self.problems():
                raise InputProblems(self.words, problems)
            self._carry_out(others, runner)

    def _carry_out(self, others: Mapping[str, SeedRun], runner: StageRunner) -> None:
        record = self.record() or {"made_with": self.made_with}
        record["finished"] = self._finished(record)
        if self.run.same_as and self.run.time_of and "max_epochs" not in record:
            needed = [others[self.run.time_of], others[self.run.same_as]]
            unfinished = [one.words for one in needed if "training" not in one._finished(one.record())]
            if unfinished:
                raise InputProblems(self.words, [f"its time is that of {' and '.join(unfinished)}, whose training has not come to its end."])  # fmt: skip
            record["max_epochs"] = equal_time_epochs(*(one.log() for one in needed))
        part = self.folder / "network.yaml"
        with atomic_path(part) as temporary:
            temporary.write_text(yaml.safe_dump(dict(self.run.network), sort_keys=False))
        self._write(record)
        for stage in self.stages:
            if stage not in record["finished"]:
                config, options = self._stage(stage, part, record)
                log_file = self.folder / "logs" / f"{stage}.log"
                record["finished"][stage] = runner(stage, [f"configs/{config}.yaml"], options, log_file)
                self._write(record)

    def log(self) -> pd.DataFrame:
        """The training log, a row per epoch."""
        return read_table(self.folder / TRAINING / "log.tsv")

    def _stage(self, stage: str, part: Path, record: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Name of the config and options of a stage."""
        own: dict[str, Any] = {"output_dir": self.folder}
        network = {
            "network_def": f"%{part}",
            **{key: self.run.options[key] for key in SHARED if key in self.run.options},
        }
        if stage == "training":
            options = {
                "progress": False,
                **self.run.options,
                **own,
                **network,
                "dataset_dir": self.cohort,
                "seed": self.seed,
            }
            if "max_epochs" in record:
                options["max_epochs"] = record["max_epochs"]
            if (self.folder / TRAINING / CHECKPOINT).is_file():
                options["resume"] = True
            return "train", options
        if stage == "evaluating":
            return "evaluate", {"progress": False, **own, **network}
        if stage == "embedding":
            return "inference", {**own, **network, "dataset_dir": self.cohort}
        return "cluster", {"progress": False, **(self.clustering or {}), **own, "seed": self.seed}

    def _write(self, record: Mapping[str, Any]) -> None:
        with atomic_path(self.folder / RECORD) as temporary:
            temporary.write_text(json.dumps(record, indent=1))


def training_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """Every option of training with its value, those that a study leaves as `configs/train.yaml` has them too."""
    config = ConfigParser.load_config_file(BUNDLE_ROOT / "configs" / "train.yaml")
    return plain_settings(config, options, NOT_RECORDED)


def is_same(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two runs were made with the same; one begun before all options were recorded tells what it can."""
    return before == comparable(before, now)


def comparable(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What a run is made with now, without the options that an earlier record does not tell."""
    return {key: value for key, value in now.items() if key in before or key not in RECORDED_LATER}


def equal_time_epochs(reference: pd.DataFrame, own: pd.DataFrame) -> int:
    """Whole epochs whose training steps take as long as those of a reference run; at least one.

    Args:
        reference: training log of the run whose time is to be matched.
        own: training log of a run with the same network and as many steps per epoch.
    """
    return max(1, int(reference["step_ms"].count() * reference["step_ms"].median() / own["step_ms"].median()))


def differences(before: Mapping[str, Any], now: Mapping[str, Any], above: str = "") -> list[str]:
    """`key: value then, value now` for each value that differs, deep keys with `::`."""
    found = []
    for key in dict.fromkeys([*before, *now]):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{above}{key}::")
        elif old != new:
            found.append(f"{above}{key}: {old} then, {new} now")
    return found
