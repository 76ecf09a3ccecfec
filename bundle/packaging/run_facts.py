"""What a finished run left that a package is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from monai.bundle import ConfigParser

from bundle.data.cohort_writer import SETTINGS_FILE, is_as_drawn
from bundle.data.datalist import SECTIONS
from bundle.data.json_files import read_json
from bundle.data.problems import InputProblems
from bundle.data.tables import read_table
from bundle.packaging.stage_configs import network_definition
from bundle.paths import (
    BEST_MODEL,
    CHECKPOINT,
    CLUSTERS,
    DATALIST,
    EVALUATED,
    EVALUATION,
    PREPARED,
    STRATIFIER,
    TRAINING,
    stage_folder,
)
from bundle.strata.stratifier_file import read_stratifier
from bundle.trained.encoder_hash import encoder_hash
from bundle.trained.weights import read_weights, signature_of
from custom_nets import FusionAutoencoder


@dataclass(frozen=True)
class Evaluation:
    """What `evaluating` found for this very encoder.

    Attributes:
        summary: a row per map; see docs/pipeline.md.
        section: of the datalist.
        n_people: in that section.
    """

    summary: pd.DataFrame
    section: str
    n_people: int


@dataclass(frozen=True)
class RunFacts:
    """A trained network and what is known of it.

    Attributes:
        network: in evaluation mode, on the CPU.
        encoder_hash: of it.
        signature: of it, see `FusionAutoencoder`.
        settings: of the training, by option; empty if the run left no checkpoint.
        n_people: by section; empty if the run left no datalist.
        test_people: items of the test split.
        cohort: folder of the synthetic cohort it was trained on; None if it was trained on other participants.
        synthetic: settings of that cohort.
        evaluation: None if the network was not evaluated.
        stratifier: its file; None if embeddings were not clustered.
    """

    network: FusionAutoencoder
    encoder_hash: str
    signature: Mapping[str, Any]
    settings: Mapping[str, Any]
    n_people: Mapping[str, int]
    test_people: Sequence[Mapping[str, Any]]
    cohort: Path | None
    synthetic: Mapping[str, Any] | None
    evaluation: Evaluation | None
    stratifier: Path | None


def read_run(output_dir: str | Path) -> RunFacts:
    """Read what training, evaluating and clustering left in a results folder.

    Raises:
        InputProblems: without a trained network, or if evaluation or strata are of another encoder.
    """
    network, signature = _network(stage_folder(output_dir, TRAINING) / BEST_MODEL)
    own_hash = encoder_hash(network)
    checkpoint = stage_folder(output_dir, TRAINING) / CHECKPOINT
    settings = dict(read_weights(checkpoint)["settings"]) if checkpoint.is_file() else {}
    datalist = stage_folder(output_dir, PREPARED) / DATALIST
    prepared = read_json(datalist) if datalist.is_file() else {}
    cohort = Path(prepared.get("dataset_dir", ""))
    people = [item for section in ("test", "validation", "training") for item in prepared.get(section, [])]
    is_synthetic = (cohort / SETTINGS_FILE).is_file() and is_as_drawn(cohort, people)
    problems: list[str] = []
    facts = RunFacts(
        network=network,
        encoder_hash=own_hash,
        signature=signature,
        settings=settings,
        n_people={name: len(prepared[name]) for name in SECTIONS if name in prepared},
        test_people=prepared.get("test", []),
        cohort=cohort if is_synthetic else None,
        synthetic=read_json(cohort / SETTINGS_FILE) if is_synthetic else None,
        evaluation=_evaluation(stage_folder(output_dir, EVALUATION), own_hash, problems),
        stratifier=_stratifier(stage_folder(output_dir, CLUSTERS) / STRATIFIER, own_hash, problems),
    )
    if problems:
        raise InputProblems(f"Results folder {Path(output_dir).resolve()}", problems)
    return facts


def _network(file: Path) -> tuple[FusionAutoencoder, dict[str, Any]]:
    if not file.is_file():
        raise InputProblems("Network", [f"No weights at {file}: run training first, or give its --output_dir."])
    weights = read_weights(file)
    signature = signature_of(weights) if isinstance(weights, dict) else {}
    if not signature:
        raise InputProblems("Network", [f"{file} holds no weights of this bundle's networks: run training again."])
    parser = ConfigParser({**signature, "network_def": network_definition(signature)})
    try:
        network = parser.get_parsed_content("network_def")
        network.load_state_dict(weights)
    except (RuntimeError, ValueError, AttributeError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise InputProblems(
            "Network", [f"{file} is of another version of this bundle's networks ({reason}): run training again."]
        ) from error
    return network.cpu().eval(), signature


def _evaluation(folder: Path, own_hash: str, problems: list[str]) -> Evaluation | None:
    if not (folder / EVALUATED).is_file():
        return None
    facts = read_json(folder / EVALUATED)
    if facts["encoder_hash"] != own_hash:
        problems.append(
            f"{folder} is of encoder {facts['encoder_hash']}, model.pt is {own_hash}: run evaluating again."
        )
        return None
    return Evaluation(read_table(folder / "summary.tsv"), facts["split"], facts["n_people"])


def _stratifier(file: Path, own_hash: str, problems: list[str]) -> Path | None:
    if not file.is_file():
        return None
    found = read_stratifier(file).encoder_hash
    if found != own_hash:
        problems.append(f"{file} is of encoder {found}, model.pt is {own_hash}: run embedding and clustering again.")
    return file


def cpu_state(network: FusionAutoencoder) -> dict[str, torch.Tensor]:
    """Weights and buffers on the CPU, for `models/model.pt`."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
