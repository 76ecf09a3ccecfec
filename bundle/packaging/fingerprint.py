"""What a network is, in a few numbers, so that it cannot change while its version stays.

python -m bundle.packaging.fingerprint      renews what configs/metadata.json says, after the version was raised
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from bundle.data.atomic import atomic_path
from bundle.data.problems import InputProblems
from custom_nets import FusionAutoencoder

NETWORKS = (
    *("network", "network_paper", "network_paper_no_skips", "network_release", "network_release_no_skips"),
    "network_128",
)
"""Parts in `configs/parts/` that are watched, all on one small grid."""
GRID = (32, 32, 32)
MODALITIES = ("T1w", "FA")
KEY = "network_fingerprints"
N_BLOCKS, N_VOXELS = 64, 512
"""Blocks of the linear embedding on that grid, and their voxels."""
N_FIGURES = 4
TOLERANCE = 1e-4
"""Of a forward pass, relative to the largest figure of the same output; machines add up in another order."""


def fingerprint(network: FusionAutoencoder) -> dict[str, Any]:
    """Hash of the names, shapes and types of all parameters and buffers, and figures of one forward pass.

    Weights and input follow from their numbering alone, not from a random generator, which may differ between versions, nor from a
    fit, which may differ between processors.

    Returns:
        `structure`: twelve hexadecimal digits; `values`: mean, root mean square and two single values of the embedding, then of
        the reconstruction, then of the embedding without the last map if the network does without.
    """
    state = network.state_dict()
    rows = [
        f"{name} {tuple(value.shape)} {value.dtype}" for name, value in sorted(state.items()) if name != "signature"
    ]
    network.load_state_dict({name: _filled(name, value) for name, value in state.items()})
    images = network.scaling.inverse(_wave((1, len(network.modalities), *network.spatial_size), 0.7))
    network.eval()
    with torch.no_grad():
        outputs = [network.encode(images), network(images)]
        if network.takes_any_subset:
            images[:, -1] = torch.nan
            outputs += [network.encode(images)]
    values = [figure for output in outputs for figure in _figures(output.flatten().double())]
    structure = hashlib.sha256("\n".join(rows).encode()).hexdigest()[:12]
    return {"structure": structure, "values": [float(f"{value:.6g}") for value in values]}


def differs(found: dict[str, Any], stored: dict[str, Any]) -> bool:
    """Whether two fingerprints are of different networks."""
    if found["structure"] != stored["structure"]:
        return True
    for start in range(0, len(stored["values"]), N_FIGURES):
        before, now = (facts["values"][start : start + N_FIGURES] for facts in (stored, found))
        scale = max(abs(value) for value in before)
        if not all(abs(a - b) <= TOLERANCE * scale for a, b in zip(now, before, strict=True)):  # NaN differs
            return True
    return False


def fingerprints(configs: Path, parts: Sequence[str] = NETWORKS) -> dict[str, dict[str, Any]]:
    """Part -> fingerprint of the network that it describes.

    Args:
        configs: the folder `configs/`.
        parts: file names in `parts/`, without suffix.
    """
    found = {}
    for part in parts:
        definition = ConfigParser.load_config_file(str(configs / "parts" / f"{part}.yaml"))
        facts = {"modalities": list(MODALITIES), "spatial_size": list(GRID)}
        found[part] = fingerprint(ConfigParser({**facts, "network": definition}).get_parsed_content("network"))
    return found


def problems_of(metadata: dict[str, Any], found: dict[str, dict[str, Any]]) -> list[str]:
    """A sentence for each network that is not the one that the metadata's version names, and how to fix it."""
    stored = metadata.get(KEY, {})
    of_version = stored.get("version")
    if of_version != metadata["version"]:
        return [f"{KEY} are of version {of_version}, this is {metadata['version']}: python -m {MODULE} renews them."]
    changed = [part for part in found if part not in stored or differs(found[part], stored[part])]
    return [
        f"{' '.join(['configs/parts/' + part.split()[0] + '.yaml', *part.split()[1:]])} now builds another network than version {of_version} did, so old weights would not mean "
        "what they meant: raise the version in configs/metadata.json (with a changelog entry), setup.cfg and CHANGELOG.md, "
        f"then python -m {MODULE}."
        for part in changed
    ]


MODULE = "bundle.packaging.fingerprint"


def renew(file: Path) -> None:
    """Store the networks' fingerprints in metadata.json, whose version must have been raised.

    Raises:
        InputProblems: if the version is the one that is stored already and a network changed.
    """
    metadata = json.loads(file.read_text(encoding="utf-8"))
    found = fingerprints(file.parent)
    if metadata.get(KEY, {}).get("version") == metadata["version"]:
        problems = problems_of(metadata, found)
        if problems:
            raise InputProblems("Version", problems)
        return
    metadata[KEY] = {"version": metadata["version"], **found}
    with atomic_path(file) as temporary:
        temporary.write_text(json.dumps(metadata, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _wave(shape: tuple[int, ...], step: float) -> torch.Tensor:
    """Values in [-1, 1] of rising frequency, so that sums of products of two such waves do not cancel out."""
    phases = torch.arange(math.prod(shape), dtype=torch.float64).square() * step
    return torch.cos(phases.remainder(2 * math.pi)).float().reshape(shape)


def _filled(name: str, value: torch.Tensor) -> torch.Tensor:
    """A weight, bias or buffer that follows from its name's length and shape alone."""
    if name == "linear.bases":
        return (127 * _wave(tuple(value.shape), 1)).round().to(value)
    if name == "linear.scales":  # columns of about unit length
        return torch.full_like(value, 1 / 127 / math.sqrt(N_VOXELS))
    if name == "linear.block_of":
        return torch.arange(len(value)) * N_BLOCKS // len(value)
    if name in ("signature", "grid_affine") or not value.is_floating_point():
        return value
    if name.endswith(("running_var", "factor", "brain_mask")):
        return torch.ones_like(value)
    if name.endswith(("variances", "noise")):
        return 1 + 0.1 * _wave(tuple(value.shape), 1)
    fan_in = max(1, value[0].numel()) if value.ndim > 1 else 1
    wave = _wave(tuple(value.shape), 1 + 0.01 * len(name))
    if value.ndim > 1:
        return 2 * wave / math.sqrt(fan_in)
    return 1 + 0.1 * wave if name.endswith("weight") else 0.1 * wave  # of a normalisation, or a bias


def _figures(values: torch.Tensor) -> list[float]:
    return [values.mean().item(), values.square().mean().sqrt().item(), values[7].item(), values[-7].item()]


if __name__ == "__main__":
    try:
        renew(Path(__file__).resolve().parents[2] / "configs" / "metadata.json")
    except InputProblems as problems:
        sys.exit(str(problems))
