"""Age and sex of a real cohort from the network's embeddings, beside PCA, a linear embedding of equal size and regional volumes.

    python -m benchmarks.real_prediction --cohort ../shared/real/ixi/maps --modalities T1w GM WM JAC --output_dir output/real

Takes the networks that `benchmarks.real_cohort` trained on several splits. `pca` (as many components as there are) and `linear` (joint PCA
of each cell with mirrored and shifted copies, 1536 numbers) are fitted on the training participants of each split; `regions` are sums
of grey and white matter, where there are such modalities, in 4 x 4 x 3 blocks of the grid. Prints the mean over splits.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import torch

from bundle.data.cohort_folder import items_from_folder
from bundle.data.datalist import items_from_datalist
from bundle.data.tables import read_table, write_table
from bundle.evaluation.linear_baselines import cell_size, fit_cells
from bundle.trained.weights import load_network
from custom_nets import FusionAutoencoder, RefinedLinearAutoencoder
from custom_nets.linear_fit import embed_packed

DENSITIES = ("GM", "WM")


def read_images(items: list[dict], modalities: list[str]) -> np.ndarray:
    """`(N, M, D, H, W)` float32."""
    volumes = [[np.asarray(nib.load(item[m]).dataobj, dtype=np.float32) for m in modalities] for item in items]
    return np.array(volumes)


def other_features(
    network: FusionAutoencoder, images: np.ndarray, is_training: np.ndarray, mirror: int
) -> dict[str, np.ndarray]:
    """`pca` and `linear`, `(N, P)` each, fitted on training participants."""
    mask = network.scaling.brain_mask.numpy() > 0
    scaled = np.stack([network.scaling(torch.from_numpy(image)[None])[0].numpy()[:, mask] for image in images])
    training = scaled[is_training]
    flat = training.reshape(len(training), -1)
    components = torch.linalg.svd(torch.from_numpy(flat), full_matrices=False)[2][: len(flat) - 1].numpy()
    order, fitted = fit_cells(training, mask, cell_size(mask.shape), mirror, network.embedding_size, 3000)
    linear = embed_packed(fitted, torch.from_numpy(scaled[:, :, order])).numpy()
    return {"pca": scaled.reshape(len(scaled), -1) @ components.T, "linear": linear}


def block_sums(images: np.ndarray, modalities: list[str]) -> pd.DataFrame:
    """Sums of tissue densities in the blocks that hold any."""
    shape = images.shape[2:]
    edges = [np.linspace(0, size, n + 1).astype(int) for size, n in zip(shape, (4, 4, 3), strict=True)]
    columns = {}
    for modality, (a, b, c) in product(DENSITIES, product(range(4), range(4), range(3))):
        block = tuple(slice(edge[n], edge[n + 1]) for edge, n in zip(edges, (a, b, c), strict=True))
        own = images[:, modalities.index(modality)][(slice(None), *block)].sum(axis=(1, 2, 3))
        if own.std() > 0:
            columns[f"{modality}_{a}{b}{c}"] = own
    return pd.DataFrame(columns)


def main() -> None:
    """Embed, predict what is missing, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=Path, required=True)
    parser.add_argument("--modalities", nargs="+", required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    arguments = parser.parse_args()
    modalities = arguments.modalities
    patterns = {modality: "{participant_id}/{participant_id}_" + modality + ".nii.gz" for modality in modalities}
    items = items_from_folder(arguments.cohort, patterns, modalities)
    names = np.array([item["participant_id"] for item in items])
    images = read_images(items, modalities)
    regions = None
    if set(DENSITIES) <= set(modalities):
        regions = arguments.output_dir / "regions.tsv"
        write_table(block_sums(images, modalities).assign(participant_id=names), regions)
    found = []
    for folder in sorted(arguments.output_dir.glob("split_*")):
        training = {
            item["participant_id"] for item in items_from_datalist(folder / "split.json", modalities)["training"]
        }
        network = load_network(RefinedLinearAutoencoder(modalities), None, str(folder), torch.device("cpu"))
        features = other_features(network, images, np.isin(names, list(training)), int(network.mirror))
        for name, values in features.items():
            np.savez(folder / f"{name}.npz", participant_id=names, embeddings=values)
        run = [sys.executable, "-m", "monai.bundle", "run"]
        shared = ["--output_dir", str(folder)]
        own = ["--dataset_dir", str(arguments.cohort), "--modalities", str(modalities), "--images", str(patterns)]
        also = str({name: str(folder / f"{name}.npz") for name in features})
        options = ["--also", also, "--participants", str(arguments.cohort / "participants.tsv")]
        options += ["--regions", str(regions)] if regions else []
        subprocess.run([*run, "embedding", "--config_file", "configs/inference.yaml", *own, *shared], check=True)
        subprocess.run([*run, "predicting", "--config_file", "configs/predict.yaml", *options, *shared], check=True)
        found.append(read_table(folder / "6_prediction" / "figures.tsv"))
    figures = pd.concat(found)
    figures["value"] = figures["value"].astype(float)
    print(
        figures.pivot_table(index=["participants", "features"], columns=["target", "figure"], values="value")
        .round(3)
        .to_string()
    )


if __name__ == "__main__":
    main()
