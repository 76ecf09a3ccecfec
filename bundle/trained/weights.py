"""Weights on disk: read, refused if they are of another network, and loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bundle.data.problems import InputProblems
from bundle.paths import BEST_MODEL, TRAINING, stage_folder
from custom_nets import FusionAutoencoder


def load_network(
    network: FusionAutoencoder, checkpoint: str | None, output_dir: str, device: torch.device
) -> FusionAutoencoder:
    """The trained network, ready to evaluate.

    Args:
        network: built from the config.
        checkpoint: weights file; None takes `<output_dir>/2_training/model.pt`.
        output_dir: results folder.
        device: where to put it.

    Raises:
        InputProblems: without the file, or if the weights are those of another architecture or grid, or not finite.
    """
    file = Path(checkpoint) if checkpoint else stage_folder(output_dir, TRAINING) / BEST_MODEL
    if not file.is_file():
        raise InputProblems("Network", [f"No weights at {file}: run training first, or give --checkpoint."])
    state = read_weights(file)
    weights = state.get("network", state) if isinstance(state, dict) else {}
    check_fits(network, weights, str(file))
    broken = [name for name, value in weights.items() if value.is_floating_point() and not bool(value.isfinite().all())]
    if broken:
        raise InputProblems(
            "Network",
            [f"{file}: weights that are no finite numbers ({', '.join(broken[:3])}): copy it again, or train again."],
        )
    network.load_state_dict(weights)
    return network.to(device).eval()


def read_weights(file: Path) -> Any:
    """What a checkpoint or weights file holds, on the CPU.

    Raises:
        InputProblems: if it cannot be read.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a broken file makes torch raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputProblems(
            "Network",
            [f"{file} cannot be read as weights ({reason}): copy it again, or train in another --output_dir."],
        ) from error


def check_fits(network: FusionAutoencoder, state: Mapping[str, torch.Tensor], file: str) -> None:
    """Refuse weights of another architecture, grid or list of modalities in one sentence.

    Raises:
        InputProblems: naming the file and all that differs.
    """
    expected, found = signature_of(network.state_dict()), signature_of(state)
    if expected == found:
        return
    if not found:
        problem = f"{file} holds no weights of this bundle's networks."
    else:
        differing = [
            f"{key}: {found.get(key)} in the file, {expected.get(key)} in the configuration"
            for key in dict.fromkeys([*expected, *found])
            if expected.get(key) != found.get(key)
        ]
        problem = (
            f"{file} does not fit ({'; '.join(differing)}): use the --network_def, --modalities and --spatial_size "
            "that it was trained with."
        )
    raise InputProblems("Network", [problem])


def signature_of(state: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """What `FusionAutoencoder.signature` says in a state dictionary."""
    if "signature" not in state:
        return {}
    return json.loads(bytes(state["signature"].tolist()).decode())
