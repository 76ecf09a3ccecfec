"""`metadata.json` of a package: the repository's, with versions, formats and figures of what is really there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from monai.bundle import verify_metadata, verify_net_in_out
from torch import Tensor

from bundle.data.problems import InputProblems
from bundle.packaging.exported_forms import eager_outputs, probe_images
from bundle.packaging.fingerprint import KEY
from bundle.packaging.run_facts import RunFacts

SCHEMA = Path(__file__).parent / "metadata_schema.json"
"""Ours: all that MONAI's schema 20240725, the model zoo's checks and their prose ask for."""
BASE_PACKAGES = {"monai_version": "monai", "pytorch_version": "torch", "numpy_version": "numpy"}
FIGURES = ("r2", "pca_r2", "ssim", "identifiability")


def package_metadata(template: Mapping[str, Any], facts: RunFacts, data_source: str | None) -> dict[str, Any]:
    """The metadata of a package.

    Args:
        template: the repository's metadata.json.
        facts: of the run.
        data_source: sentence on the training participants; None only for the synthetic cohort, which has its own.

    Raises:
        InputProblems: if neither is there.
    """
    metadata = {key: value for key, value in template.items() if key != KEY}
    metadata |= {key: installed(package) for key, package in BASE_PACKAGES.items()}
    metadata["required_packages_version"] = {name: installed(name) for name in template["required_packages_version"]}
    metadata["data_source"] = data_source or _synthetic_source(facts)
    metadata["data_type"] = "nibabel"
    maps = ", ".join(facts.network.modalities)
    metadata["description"] = (
        f"Autoencoder that fuses {maps} maps of a participant into {facts.network.embedding_size} values and draws the maps from them."
    )
    metadata["image_classes"] = (
        f"{maps}: co-registered maps of one participant, in their own units; an absent map is NaN"
    )
    metadata["pred_classes"] = f"{maps}: the maps drawn from the embedding, in their own units"
    metadata["eval_metrics"] = _eval_metrics(facts)
    metadata["encoder_hash"] = facts.encoder_hash
    return metadata | data_formats(facts)


def data_formats(facts: RunFacts) -> dict[str, Any]:
    """`network_data_format` and `encoder_data_format`, read off the tensors of a real forward pass."""
    images = probe_images(facts.network, batch=1)
    embedding, reconstruction = eager_outputs(facts.network, images)
    channels = {str(number): name for number, name in enumerate(facts.network.modalities)}
    image = {"type": "image", "format": "magnitude", "modality": "MR", **_tensor(images), "channel_def": channels}
    drawn = {
        "type": "image",
        "format": "magnitude",
        "modality": "MR",
        **_tensor(reconstruction),
        "channel_def": channels,
    }
    values = _tensor(embedding[:, None, :, None, None])  # MONAI knows volumes alone
    code = {"type": "image", "format": "latent", "modality": "n/a", **values, "channel_def": {"0": "embedding"}}
    return {
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": drawn}},
        "encoder_data_format": {"inputs": {"image": image}, "outputs": {"embedding": code}},
    }


def installed(package: str) -> str:
    """Version of an installed package, without a local part such as `+cpu`, which other machines could not install."""
    return re.sub(r"\+.*", "", version(package))


def verify(folder: Path) -> None:
    """MONAI's own verifiers on a package's folder: metadata against the schema, network against `network_data_format`.

    Raises:
        InputProblems: with what they say.
    """
    configs = folder / "configs"
    try:
        verify_metadata(meta_file=str(configs / "metadata.json"), filepath=str(SCHEMA))
        verify_net_in_out(
            net_id="network_def",
            meta_file=str(configs / "metadata.json"),
            config_file=str(configs / "inference.json"),
            device="cpu",
        )
    except (ValueError, KeyError, RuntimeError) as error:
        raise InputProblems("Package", [f"MONAI refuses its metadata: {error}"]) from error


def write_json(content: Mapping[str, Any], file: Path) -> None:
    """Write JSON as participants read it."""
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _tensor(value: Tensor) -> dict[str, Any]:
    if not bool(torch.isfinite(value).all()):
        raise InputProblems("Package", ["The network gives values that are not finite: was it trained?"])
    return {
        "num_channels": value.shape[1],
        "spatial_shape": list(value.shape[2:]),
        "dtype": str(value.dtype).removeprefix("torch."),
        "value_range": [],
        "is_patch_data": False,
    }


def _synthetic_source(facts: RunFacts) -> str:
    if facts.synthetic is None:
        raise InputProblems(
            "Data",
            [
                "This network was trained on participants of your own: say in a sentence who they are and who may use what was "
                'learned from them, as --data_source "...", and give their terms as --data_license FILE.'
            ],
        )
    people, spacing = facts.synthetic["n_subjects"], facts.synthetic["spacing_mm"]
    return (
        f"Synthetic cohort of {people} participants with known truth, {spacing:g} mm, that the bundle draws on the MNI ICBM152 2009a "
        "template; no images of participants"
    )


def _eval_metrics(facts: RunFacts) -> dict[str, float]:
    if facts.evaluation is None:
        return {}
    table = facts.evaluation.summary.set_index("modality")
    return {
        f"{figure}_{modality}": float(table.loc[modality, figure])
        for figure in FIGURES
        for modality in table.index
        if figure in table
    }
