"""Is the synthetic cohort as hard to compress as real participants are, and can its truth be found? Needs no network.

    python benchmarks/cohort_difficulty.py
    python benchmarks/cohort_difficulty.py --real my_cohort --real_modalities T1w JAC GM WM
    python benchmarks/cohort_difficulty.py --participants 300 --splits 3

Simulates participants with the default settings, and reads as many of a cohort folder of the same grid if one is given.
In each split a quarter of the participants, whole families, are held out. For each modality by itself, in the voxels where
T1w is not 0 in at least half of the training participants, it prints the mean over splits of

- R2 on held-out participants, 1 - SSE / SSE of the training mean image: of PCA with up to one component less than there
  are training participants, and (first split only: nothing is learned) of least squares on the lowest frequencies of a
  cosine basis of the mask's box, as many as a modality's share of an embedding of 1536 values, and all of it;
- the share of the training participants' variance that each of the first four principal components holds;
- for the synthetic cohort, R2 on held-out participants of each true factor, by ridge regression on the first 40 principal
  component scores of each modality, and the adjusted Rand index of the true strata with k-means on the first ten of all
  modalities, each scaled to a total variance of 1 (held-out participants too).

Minutes on one core; the second command takes 3 GB.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from scipy.linalg import cho_factor, cho_solve
from sklearn.cluster import KMeans
from sklearn.linear_model import RidgeCV
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GroupShuffleSplit
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from bundle.data.cohort_settings import CohortSettings
from bundle.data.participants import read_participants
from bundle.data.population import MODALITY_LOADINGS
from bundle.data.synthetic import MODALITIES, SyntheticCohort

COMPONENTS = (1, 5, 10, 20, 40)
COSINES = (384, 1536)
SCORES, CLUSTERED = 40, 10
"""Principal component scores of each modality that factors are predicted from; of all together that are clustered."""

Images = dict[str, np.ndarray]
"""Modality -> `(N, D, H, W)`."""


def simulated(settings: CohortSettings) -> tuple[Images, np.ndarray, pd.DataFrame]:
    """Images, families and truth of a synthetic cohort."""
    cohort = SyntheticCohort(settings)
    bar = tqdm(range(settings.n_subjects), desc="simulate", leave=False, mininterval=10)
    people = [cohort.draw_subject(number).images for number in bar]
    images = {modality: np.stack([person[modality] for person in people]) for modality in MODALITIES}
    return images, cohort.population.participants["family_id"].to_numpy(), cohort.population.truth


def read(folder: Path, modalities: list[str], count: int) -> tuple[Images, np.ndarray]:
    """Images and families of the first `count` participants of a folder with `<id>/<id>_<modality>.nii.gz`."""
    table = read_participants(folder).head(count)

    def volume(name: str, modality: str) -> np.ndarray:
        return nib.load(folder / name / f"{name}_{modality}.nii.gz").get_fdata(dtype=np.float32)

    names = table["participant_id"]
    return {m: np.stack([volume(name, m) for name in names]) for m in modalities}, table["family_id"].to_numpy()


def principal_components(training: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal components `(N - 1, V)` and their variances, of centred rows `(N, V)`, by the Gram matrix."""
    values, vectors = np.linalg.eigh((training @ training.T).astype(np.float64))
    values, vectors = values[:0:-1], vectors[:, :0:-1]
    return (vectors / np.sqrt(values)).astype(np.float32).T @ training, values


def cosine_r2(residuals: list[np.ndarray], mask: np.ndarray) -> list[dict[str, float]]:
    """R2 of least squares on the lowest frequencies in the mask, for each modality's residuals `(N, V)`."""
    at = np.argwhere(mask)
    at -= at.min(axis=0)
    shape = at.max(axis=0) + 1
    squared = sum(np.square(axis / size) for axis, size in zip(np.indices(shape), shape, strict=True))
    lowest = np.unravel_index(np.argsort(squared, axis=None, kind="stable")[: max(COSINES)], shape)
    basis = np.ones((len(at), max(COSINES)), np.float32)
    for axis, size in enumerate(shape):
        waves = np.cos(np.pi * np.outer(np.arange(size) + 0.5, np.arange(size)) / size).astype(np.float32)
        basis *= waves[at[:, axis]][:, lowest[axis]]
    gram = (basis.T @ basis).astype(np.float64)
    gram += 1e-6 * np.trace(gram) / len(gram) * np.eye(len(gram))  # in the mask cosines are nearly dependent
    rows = []
    for rest in residuals:
        products = (basis.T @ rest.T).astype(np.float64)
        explained = {n: (products[:n] * cho_solve(cho_factor(gram[:n, :n]), products[:n])).sum() for n in COSINES}
        rows.append({f"R2, {n} cosines": value / np.square(rest).sum() for n, value in explained.items()})
    return rows


def difficulty(images: Images, families: np.ndarray, truth: pd.DataFrame | None, n_splits: int) -> pd.DataFrame:
    """Figures by modality, the mean over splits; with truth, what can be found of it under `all`."""
    rows = []
    splits = GroupShuffleSplit(n_splits, test_size=0.255, random_state=0).split(families, groups=families)
    for number, (training, held_out) in enumerate(splits):
        mask = (images["T1w"][training] != 0).mean(axis=0) >= 0.5
        scores, residuals = [], []
        for modality, volumes in images.items():
            values = volumes[:, mask]
            values -= values[training].mean(axis=0)
            components, variances = principal_components(values[training])
            projected = values @ components.T
            explained = np.square(projected[held_out]).sum(axis=0).cumsum() / np.square(values[held_out]).sum()
            figures = {f"R2, PCA of {k}": explained[k - 1] for k in COMPONENTS} | {"R2, PCA of all": explained[-1]}
            figures |= {f"variance of component {k + 1}": variances[k] / variances.sum() for k in range(4)}
            rows.append({"modality": modality} | figures)
            scores.append(projected / np.sqrt(variances.sum()))
            residuals.append(values[held_out] if number == 0 else None)
        if number == 0:
            found = cosine_r2(residuals, mask)
            rows += [{"modality": modality} | one for modality, one in zip(images, found, strict=True)]
        if truth is not None:
            rows.append({"modality": "all"} | recovery(scores, truth, training, held_out))
    table = pd.DataFrame(rows).groupby("modality", sort=False).mean().T
    return table.loc[sorted(table.index, key=lambda name: (not name.startswith("R2, "), "variance" not in name))]


def recovery(scores: list[np.ndarray], truth: pd.DataFrame, training: np.ndarray, held_out: np.ndarray) -> dict:
    """What principal component scores tell of the truth."""
    together = np.hstack([own[:, :SCORES] for own in scores])
    scaled = StandardScaler().fit(together[training]).transform(together)
    figures = {}
    for name in MODALITY_LOADINGS.columns:
        model = RidgeCV(np.logspace(0, 5, 21)).fit(scaled[training], truth[name].iloc[training])
        figures[f"{name}, R2 by ridge"] = model.score(scaled[held_out], truth[name].iloc[held_out])
    n_strata = truth["stratum"].nunique()
    _, _, axes = np.linalg.svd(np.hstack(scores)[training], full_matrices=False)
    leading = np.hstack(scores) @ axes[:CLUSTERED].T
    clusters = KMeans(n_strata, n_init=50, random_state=0).fit(leading[training]).predict(leading)
    return figures | {"strata, adjusted Rand index": adjusted_rand_score(truth["stratum"], clusters)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--participants", type=int, default=105)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--separation", type=float, default=CohortSettings().stratum_separation)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--real_modalities", nargs="+", default=["T1w", "JAC", "GM", "WM"])
    options = parser.parse_args()
    settings = replace(
        CohortSettings(), n_subjects=options.participants, seed=options.seed, stratum_separation=options.separation
    )
    table = difficulty(*simulated(settings), options.splits)
    if options.real is not None:
        images, families = read(options.real, options.real_modalities, options.participants)
        table = table.join(difficulty(images, families, None, options.splits).add_prefix("real "))
    print("| figure | " + " | ".join(table.columns) + " |\n|" + " --- |" * (1 + len(table.columns)))
    for name, row in table.iterrows():
        print(f"| {name} | " + " | ".join("" if np.isnan(value) else f"{value:.3f}" for value in row) + " |")


if __name__ == "__main__":
    main()
