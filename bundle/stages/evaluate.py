"""Stage 3: what the reconstructions and the code of held-out people are worth."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from monai.data import CacheDataset
from monai.engines import SupervisedEvaluator
from monai.metrics import CumulativeIterationMetric
from torch import Tensor
from tqdm.auto import tqdm

from bundle.analysis.reconstruction import (
    identifiability,
    pca_errors,
    pca_skill,
    skill,
    skill_difference_interval,
    skill_per_person,
    swap_partners,
)
from bundle.analysis.tissue import grey_and_white_matter
from bundle.data.atomic import atomic_path
from bundle.data.problems import InputProblems
from bundle.encoder_hash import encoder_hash
from bundle.engines.inferer import AutocastInferer
from bundle.handlers.reconstruction_recorder import ReconstructionRecorder, masked_residuals
from bundle.handlers.training_checkpoint import check_fits, read_weights
from bundle.metrics import ContrastToNoiseRatio, MaskedMSE, NormalisedDifference, StructuralSimilarity
from bundle.paths import BEST_MODEL, EVALUATED, EVALUATION, TRAINING, stage_folder
from bundle.pictures import reconstruction_picture, save_figure
from bundle.stages.subsets import known_subsets, skill_of_subsets, subset_picture
from custom_nets import FusionAutoencoder

logger = logging.getLogger(__name__)
TISSUE_MODALITIES = ("T1w", "FA", "NDI")
CODE_VARIANTS = ("zeroed", "mean", "swapped")


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
        InputProblems: without the file, or if the weights are those of another architecture or grid.
    """
    file = Path(checkpoint) if checkpoint else stage_folder(output_dir, TRAINING) / BEST_MODEL
    if not file.is_file():
        raise InputProblems("Network", [f"No weights at {file}: run training first, or give --checkpoint."])
    state = read_weights(file)
    weights = state.get("network", state) if isinstance(state, dict) else {}
    check_fits(network, weights, str(file))
    network.load_state_dict(weights)
    return network.to(device).eval()


def person_metrics(network: FusionAutoencoder) -> dict[str, CumulativeIterationMetric]:
    """The per-person metrics that fit the network's modalities."""
    scaling = network.scaling
    mask = scaling.brain_mask.cpu()
    metrics: dict[str, CumulativeIterationMetric] = {
        "mse_mask": MaskedMSE(scaling.inverse_gain, mask),
        "mse_grid": MaskedMSE(scaling.inverse_gain),
        "norm_diff": NormalisedDifference(mask),
        "ssim": StructuralSimilarity(scaling.mean_image, mask),
    }
    shows_tissue = [m for m in TISSUE_MODALITIES if m in network.modalities]
    if shows_tissue:
        mean_image = scaling.mean_image[network.modalities.index(shows_tissue[0])].cpu().numpy()
        grey, white = grey_and_white_matter(mean_image, mask.numpy() > 0)
        metrics["cnr_ratio"] = ContrastToNoiseRatio(
            torch.from_numpy(grey), torch.from_numpy(white), [m in TISSUE_MODALITIES for m in network.modalities]
        )
    return metrics


def run_evaluation(
    evaluator: SupervisedEvaluator,
    recorder: ReconstructionRecorder,
    network: FusionAutoencoder,
    inferer: AutocastInferer,
    held_out: CacheDataset,
    training: CacheDataset,
    output_dir: str,
    device: torch.device,
    section: str = "test",
) -> pd.DataFrame:
    """Evaluate, write `3_evaluation/` and log the table.

    Writes `people.tsv` (a row per person and modality, with the sums of squares from which skill can be pooled over
    evaluations), `summary.tsv` (a row per modality), `pca_curve.tsv` and pictures of the median and the worst person;
    `evaluation.json` says which encoder and which people these are of; of a network that takes any subset of maps also
    `subsets.tsv`, what it draws from each of them.

    Args:
        evaluator: goes over `held_out` with the recorder attached.
        recorder: what it collects.
        network: trained, on `device`.
        inferer: precision of forward passes.
        held_out: people to report on.
        training: people that the PCA baseline is fitted on.
        output_dir: results folder.
        device: of the network.
        section: of the datalist that `held_out` is.

    Returns:
        The summary: modality x figures.
    """
    evaluator.run()
    images, drawn = recorder.images, recorder.reconstructions
    families = [item["family_id"] for item in held_out.data]
    variants = _skills_of_changed_codes(network, inferer, held_out, families, images, device)
    training_residuals = np.concatenate(
        [
            masked_residuals(network, torch.as_tensor(training[number]["image"])[None].to(device))
            for number in range(len(training))
        ]
    )
    per_map = [pca_skill(training_residuals[:, m], images[:, m]) for m in range(len(network.modalities))]
    longest = max(len(curve) for curve in per_map)
    # a map that has fewer components than the others gains nothing beyond its last
    curves = np.stack([np.pad(curve, (0, longest - len(curve)), mode="edge") for curve in per_map])
    nearest = identifiability(images, drawn)
    summary = _summarise(network, recorder, images, drawn, variants, curves, nearest)
    sums = _sums_of_squares(images, drawn, training_residuals, per_map)
    summary[["above_pca_low", "above_pca_high"]] = [
        skill_difference_interval(
            sums["squared_error"][:, m], sums["pca_squared_error"][:, m], sums["squared_residual"][:, m], families
        )
        for m in range(len(network.modalities))
    ]
    folder = stage_folder(output_dir, EVALUATION)
    people = _people_table(network, recorder, images, drawn, nearest, sums)
    curve_table = pd.DataFrame(curves.T, columns=list(network.modalities))
    curve_table.insert(0, "components", np.arange(1, len(curve_table) + 1))
    tables = {"people": people, "summary": summary, "pca_curve": curve_table}
    if len(known_subsets(network)) > 1:
        tables["subsets"] = skill_of_subsets(network, inferer, held_out, families, device)
        save_figure(subset_picture(tables["subsets"], network.modalities), folder / "subsets.png")
    for name, table in tables.items():
        with atomic_path(folder / f"{name}.tsv") as temporary:
            table.to_csv(temporary, sep="\t", index=False, float_format="%.6g")
    facts = {"encoder_hash": encoder_hash(network), "section": section, "n_people": len(images)}
    with atomic_path(folder / EVALUATED) as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n")
    _draw_people(network, inferer, held_out, skill_per_person(images, drawn).mean(axis=1), folder, device)
    logger.info("%s", _words(network, summary, recorder, nearest, folder))
    if "subsets" in tables:
        skills = tables["subsets"].pivot(index="inputs", columns="modality", values="skill")
        order = list(dict.fromkeys(tables["subsets"]["inputs"]))
        text = skills.loc[order, list(network.modalities)].to_string(float_format=lambda value: f"{value:.3f}")
        logger.info(
            "Skill of every map (columns) from every subset (rows):\n%s\nWritten: %s/subsets.tsv, .png", text, folder
        )
    return summary


def _sums_of_squares(
    images: np.ndarray, drawn: np.ndarray, training_residuals: np.ndarray, per_map: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """Sums over the brain voxels, each `(N, M)`: what the network leaves, what PCA at its best leaves, all there is."""
    columns = [
        (
            np.square(images[:, m] - drawn[:, m]).sum(axis=1, dtype=float),
            pca_errors(training_residuals[:, m], images[:, m], int(curve.argmax()) + 1),
            np.square(images[:, m]).sum(axis=1, dtype=float),
        )
        for m, curve in enumerate(per_map)
    ]
    names = ("squared_error", "pca_squared_error", "squared_residual")
    return {name: np.stack(parts, axis=1) for name, parts in zip(names, zip(*columns, strict=True), strict=True)}


def _skills_of_changed_codes(
    network: FusionAutoencoder,
    inferer: AutocastInferer,
    held_out: CacheDataset,
    families: Sequence[str],
    images: np.ndarray,
    device: torch.device,
) -> dict[str, np.ndarray]:
    """Skill per modality when the code is zeroed, the held-out people's mean code, or another family's person's.

    Skips, if the network has any, stay the person's own: what then survives did not come through the code.
    """

    def encode(scaled: Tensor) -> Tensor:
        return network.encode_scaled(scaled)[0]

    def load(number: int) -> Tensor:
        return network.scaling(torch.as_tensor(held_out[number]["image"])[None].to(device))

    with torch.no_grad():
        codes = [inferer(load(number), encode) for number in range(len(images))]
        changed: dict[str, Callable[[int], Tensor]] = {
            "zeroed": lambda number: torch.zeros_like(codes[number]),
            "mean": lambda number: torch.stack(codes).mean(dim=0),
        }
        if len(set(families)) > 1:
            partners = swap_partners(families)
            changed["swapped"] = lambda number: codes[partners[number]]
        drawn: dict[str, list[np.ndarray]] = {name: [] for name in changed}
        for number in tqdm(range(len(images)), desc="Changing codes", unit="person"):
            scaled = load(number)
            skips = network.encode_scaled(scaled)[1]
            for name, code in changed.items():
                output = inferer(code(number), lambda code_map, skips=skips: network.decode_scaled(code_map, skips))
                drawn[name].append(masked_residuals(network, network.scaling.inverse(output)))
    skills = {name: skill(images, np.concatenate(parts)) for name, parts in drawn.items()}
    return {name: skills.get(name, np.full(images.shape[1], np.nan)) for name in CODE_VARIANTS}


def _summarise(
    network: FusionAutoencoder,
    recorder: ReconstructionRecorder,
    images: np.ndarray,
    drawn: np.ndarray,
    variants: Mapping[str, np.ndarray],
    curves: np.ndarray,
    nearest: np.ndarray,
) -> pd.DataFrame:
    table = pd.DataFrame({"modality": list(network.modalities), "skill": skill(images, drawn)})
    table["pca_skill"] = curves.max(axis=1)
    table["pca_components"] = curves.argmax(axis=1) + 1
    for name, values in variants.items():
        table[f"skill_code_{name}"] = values
    for name, metric in recorder.metrics.items():
        table[name] = metric.aggregate().numpy().mean(axis=0)
    table["identifiability"] = nearest.mean()
    return table


def _people_table(
    network: FusionAutoencoder,
    recorder: ReconstructionRecorder,
    images: np.ndarray,
    drawn: np.ndarray,
    nearest: np.ndarray,
    sums: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    per_person = {"skill": skill_per_person(images, drawn)}
    per_person |= {name: metric.aggregate().numpy() for name, metric in recorder.metrics.items()}
    n_modalities = len(network.modalities)
    columns: dict[str, Any] = {
        "participant_id": np.repeat(recorder.participant_ids, n_modalities),
        "modality": list(network.modalities) * len(recorder.participant_ids),
    }
    columns |= {name: values.ravel() for name, values in per_person.items()}
    columns["own_image_is_nearest"] = np.repeat(nearest, n_modalities)
    columns |= {name: values.ravel() for name, values in sums.items()}
    return pd.DataFrame(columns)


def _draw_people(
    network: FusionAutoencoder,
    inferer: AutocastInferer,
    held_out: CacheDataset,
    skills: np.ndarray,
    folder: Path,
    device: torch.device,
) -> None:
    order = np.argsort(skills)
    for word, number in {"worst": int(order[0]), "median": int(order[len(order) // 2])}.items():
        person = held_out[number]
        image = torch.as_tensor(person["image"])
        with torch.no_grad():
            drawn = inferer(image[None].to(device), network)[0].cpu()
        figure = reconstruction_picture(
            image.numpy(),
            drawn.numpy(),
            network.scaling.mean_image.cpu().numpy(),
            network.scaling.brain_mask.cpu().numpy(),
            network.modalities,
            f"{person['participant_id']}: {word} of {len(skills)} held-out people, mean skill {skills[number]:.3f}",
        )
        save_figure(figure, folder / f"reconstruction_{word}.png")


def _words(
    network: FusionAutoencoder,
    summary: pd.DataFrame,
    recorder: ReconstructionRecorder,
    nearest: np.ndarray,
    folder: Path,
) -> str:
    shown = summary.drop(columns=["identifiability"]).set_index("modality").T
    verdict = pca_verdict(summary)
    return "\n".join(
        [
            f"{len(recorder.participant_ids)} held-out people, encoder {encoder_hash(network)}:",
            shown.to_string(float_format=lambda value: f"{value:.3f}"),
            f"{verdict} Reconstructions nearest to their own image: {nearest.sum()} of {len(nearest)}.",
            f"Written: {folder}/summary.tsv, people.tsv, pca_curve.tsv, reconstruction_median.png, "
            "reconstruction_worst.png",
            "Next, the cohort itself or people of your own: python -m monai.bundle run embedding --config_file "
            "configs/inference.yaml --dataset_dir FOLDER (and the options given here)",
        ]
    )


def pca_verdict(summary: pd.DataFrame) -> str:
    """In words, for which modalities the network is better than the best PCA, and for which it is not."""
    groups = {
        "better": summary["above_pca_low"] > 0,
        "no different beyond chance": (summary["above_pca_low"] <= 0) & (summary["above_pca_high"] >= 0),
        "worse": summary["above_pca_high"] < 0,
    }
    parts = [f"{word} for {', '.join(summary.loc[rows, 'modality'])}" for word, rows in groups.items() if rows.any()]
    return f"Against PCA the network is {'; '.join(parts)} (95 % intervals, families resampled)."
