"""Stage 3: what the reconstructions and the embedding of held-out participants are worth."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from monai.data import CacheDataset
from monai.engines import SupervisedEvaluator

from bundle.analysis.reconstruction import identifiability, r2_per_person
from bundle.data.atomic import write_text
from bundle.data.tables import write_table
from bundle.engines.inferer import AutocastInferer
from bundle.evaluation.changed_codes import r2_values_of_changed_codes
from bundle.evaluation.linear_baselines import linear_baselines, linear_verdict
from bundle.evaluation.pca_baseline import pca_baseline, pca_verdict
from bundle.evaluation.subsets import r2_of_subsets, subset_picture, subset_words
from bundle.evaluation.tables import HeldOut, mean_margin, people_table, summary_table, sums_of_squares
from bundle.handlers.reconstruction_recorder import ReconstructionRecorder, masked_residuals
from bundle.paths import EVALUATED, EVALUATION, shown_command, stage_folder
from bundle.pictures import reconstruction_picture, save_figure
from bundle.trained.encoder_hash import encoder_hash
from bundle.trained.subsets import subsets_taken
from custom_nets import FusionAutoencoder, RefinedLinearAutoencoder

logger = logging.getLogger(__name__)


def run_evaluation(
    evaluator: SupervisedEvaluator,
    recorder: ReconstructionRecorder,
    network: FusionAutoencoder,
    inferer: AutocastInferer,
    held_out: CacheDataset,
    training: CacheDataset,
    validation: CacheDataset,
    output_dir: str,
    device: torch.device,
    split: str = "test",
    progress: bool = True,
) -> pd.DataFrame:
    """Evaluate, write `3_evaluation/` and log the table.

    Writes `people.tsv` (a row per participant and modality, with the sums of squares from which R² can be pooled over
    evaluations), `summary.tsv` (a row per modality), `pca_curve.tsv`, `linear_embeddings.tsv` and pictures of the median and the worst participant;
    `evaluation.json` says which encoder and which participants these are of; of a network that takes any subset of maps also
    `subsets.tsv`, what it draws from each of them.

    Args:
        evaluator: goes over `held_out` with the recorder attached.
        recorder: what it collects.
        network: trained, on `device`.
        inferer: precision of forward passes.
        held_out: participants to report on.
        training: participants that baselines are fitted on, also those who lack modalities.
        validation: participants that the best linear embedding is chosen on.
        output_dir: results folder.
        device: of the network.
        split: of the datalist that `held_out` is.
        progress: show bars.

    Returns:
        The summary: modality x figures.
    """
    evaluator.run()
    people = _seen(recorder, network, held_out)
    changed = r2_values_of_changed_codes(network, inferer, held_out, people.families, people.images, device, progress)
    known = _residuals(network, training, device)
    baseline = pca_baseline(known, people.images, network.modalities)
    mirror = int(network.mirror) if isinstance(network, RefinedLinearAutoencoder) else -1
    linear = linear_baselines(
        known,
        _residuals(network, validation, device),
        people.images,
        network.scaling.brain_mask.cpu().numpy(),
        network.embedding_size,
        mirror,
    )
    sums = sums_of_squares(people, baseline, linear)
    summary = summary_table(people, sums, baseline, linear, changed)
    tables = {
        "people": people_table(people, sums),
        "summary": summary,
        "pca_curve": baseline.curve_table(network.modalities),
        "linear_embeddings": linear.table(network.modalities),
    }
    folder = stage_folder(output_dir, EVALUATION)
    if len(subsets_taken(network)) > 1:
        tables["subsets"] = r2_of_subsets(network, inferer, held_out, people.families, device, progress)
        save_figure(subset_picture(tables["subsets"], network.modalities), folder / "subsets.png")
    for name, table in tables.items():
        write_table(table, folder / f"{name}.tsv")
    facts = {"encoder_hash": encoder_hash(network), "split": split, "n_people": len(people.images)}
    facts |= {"linear_embedding": linear.best, "above_linear_mean": mean_margin(people.families, sums)}
    write_text(json.dumps(facts, indent=1) + "\n", folder / EVALUATED)
    _draw_people(network, inferer, held_out, r2_per_person(people.images, people.drawn).mean(axis=1), folder, device)
    logger.info("%s", _words(summary, people.nearest, encoder_hash(network), folder))
    if "subsets" in tables:
        logger.info(
            "R2 of every modality (columns) from every subset (rows):\n%s\nWritten: %s/subsets.tsv, .png",
            subset_words(tables["subsets"], network.modalities),
            folder,
        )
    return summary


def _seen(recorder: ReconstructionRecorder, network: FusionAutoencoder, held_out: CacheDataset) -> HeldOut:
    images, drawn = recorder.images, recorder.reconstructions
    return HeldOut(
        modalities=network.modalities,
        participant_ids=recorder.participant_ids,
        families=[item["family_id"] for item in held_out.data],
        images=images,
        drawn=drawn,
        metrics={name: metric.aggregate().numpy() for name, metric in recorder.metrics.items()},
        nearest=identifiability(images, drawn),
    )


def _residuals(network: FusionAutoencoder, dataset: CacheDataset, device: torch.device) -> np.ndarray:
    """Of all participants of a dataset, `(N, M, V)`; NaN where a participant lacks a map."""
    images = (torch.as_tensor(dataset[number]["image"])[None].to(device) for number in range(len(dataset)))
    return np.concatenate([masked_residuals(network, image) for image in images])


def _draw_people(
    network: FusionAutoencoder,
    inferer: AutocastInferer,
    held_out: CacheDataset,
    r2_values: np.ndarray,
    folder: Path,
    device: torch.device,
) -> None:
    order = np.argsort(r2_values)
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
            f"{person['participant_id']}: {word} of {len(r2_values)} held-out participants, mean R² {r2_values[number]:.3f}",
        )
        save_figure(figure, folder / f"reconstruction_{word}.png")


def _words(summary: pd.DataFrame, nearest: np.ndarray, encoder: str, folder: Path) -> str:
    shown = summary.drop(columns=["identifiability"]).set_index("modality").T
    return "\n".join(
        [
            f"{len(nearest)} held-out participants, encoder {encoder}:",
            shown.to_string(float_format=lambda value: f"{value:.3f}"),
            linear_verdict(summary),
            f"{pca_verdict(summary)} Reconstructions nearest to their own image: {nearest.sum()} of {len(nearest)}.",
            f"Written: {folder}/summary.tsv, people.tsv, pca_curve.tsv, reconstruction_median.png, "
            "reconstruction_worst.png",
            "Next, the cohort itself or participants of your own: "
            f"{shown_command('embedding', 'inference.yaml')} --output_dir {folder.parent} --dataset_dir FOLDER (and those options given here that it has, too)",
        ]
    )
