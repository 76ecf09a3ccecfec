"""What a network that takes any subset of maps draws from each of them: reconstruction and cross-modal generation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from bundle.analysis.held_out_figures import family_ratios
from bundle.engines.inferer import AutocastInferer
from bundle.handlers.reconstruction_recorder import masked_residuals
from bundle.trained.subsets import subsets_taken
from custom_nets import FusionAutoencoder


@torch.no_grad()
def r2_of_subsets(
    network: FusionAutoencoder,
    inferer: AutocastInferer,
    held_out: Dataset,
    families: Sequence[str],
    device: torch.device,
    progress: bool = True,
) -> pd.DataFrame:
    """R² of every modality from every subset of inputs.

    Args:
        network: trained, in evaluation mode.
        inferer: precision of forward passes.
        held_out: participants with every map: `image` `(M, D, H, W)`.
        families: of them, for intervals.
        device: of the network.
        progress: show a bar.

    Returns:
        A row per subset and modality: `inputs` (`T1w+FA`), `modality`, `given` (False: drawn from other maps), `r2`
        with `low` and `high` (see `family_ratios`), `uncertainty`, how far
        values of the embedding are expected to move when the other maps are added (mean standard deviation), and `standardised_move`:
        how far they move over how far each was expected to (root mean square; 1 is right, NaN for all maps).
    """
    subsets = subsets_taken(network)
    hidden = torch.tensor([[m not in subset for m in network.modalities] for subset in subsets], device=device)
    errors = np.zeros((len(subsets), len(families), len(network.modalities)))
    totals = np.zeros((len(families), len(network.modalities)))
    spread, moved = np.zeros(len(subsets)), np.zeros(len(subsets))
    for person in tqdm(range(len(families)), desc="Subsets of maps", unit="participant", disable=not progress):
        image = torch.as_tensor(held_out[person]["image"])[None].to(device)
        truth = masked_residuals(network, image)[0]
        totals[person] = np.square(truth).sum(axis=1, dtype=float)
        codes, variances, drawn = _drawn_from_each(network, inferer, image, hidden)
        errors[:, person] = [np.square(one - truth).sum(axis=1, dtype=float) for one in drawn]
        spread += np.array([float(part.sqrt().mean()) for part in variances])
        moved += np.array(standardised_moves(torch.stack(codes), torch.stack(variances)))
    rows = []
    for number, subset in enumerate(subsets):
        r2_values = family_ratios(totals - errors[number], totals, families)
        for modality, (r2, low, high) in zip(network.modalities, r2_values.T, strict=True):
            row = {"inputs": "+".join(subset), "modality": modality, "given": modality in subset}
            row |= {"r2": r2, "low": low, "high": high}
            row["uncertainty"] = spread[number] / len(families)
            row["standardised_move"] = np.sqrt(moved[number] / len(families))
            rows.append(row)
    return pd.DataFrame(rows)


def _drawn_from_each(
    network: FusionAutoencoder, inferer: AutocastInferer, image: Tensor, hidden: Tensor
) -> tuple[list[Tensor], list[Tensor], list[np.ndarray]]:
    """Embedding, its variance, and residuals `(M, V)` of what is drawn, from each subset of an image.

    Args:
        network: trained.
        inferer: precision of forward passes.
        image: `(1, M, D, H, W)`.
        hidden: `(S, M)` maps that each of S subsets lacks.
    """
    inputs = image.expand(len(hidden), *image.shape[1:]).masked_fill(hidden[:, :, None, None, None], torch.nan)
    codes, variances, residuals = [], [], []
    for one in inputs.split(1):
        code = inferer(network.scaling(one), lambda scaled: network.encode_scaled(scaled)[0])
        codes.append(code.flatten())
        variances.append(network.uncertainty(one).square().flatten())
        drawn = network.scaling.inverse(inferer(code, lambda code_map: network.decode_scaled(code_map, [])))
        residuals.append(masked_residuals(network, drawn)[0])
    return codes, variances, residuals


def standardised_moves(codes: Tensor, variances: Tensor) -> list[float]:
    """Mean squared move of each subset's embedding to the last one's, over the variance that the further maps take away.

    Args:
        codes: `(S, E)`, the last from all maps.
        variances: the same, of the embeddings.

    Returns:
        S figures, NaN for the last.
    """
    gained = (variances - variances[-1]).clamp_min(1e-12)
    ratio = ((codes - codes[-1]).square() / gained).mean(dim=1)
    return [*ratio[:-1].tolist(), float("nan")]


def subset_picture(table: pd.DataFrame, modalities: Sequence[str]) -> Figure:
    """R² as a table of colours: a row per subset of inputs, a column per modality drawn; given ones are framed.

    Args:
        table: of `r2_of_subsets`.
        modalities: columns in order.
    """
    inputs = list(dict.fromkeys(table["inputs"]))
    r2_values = table.pivot(index="inputs", columns="modality", values="r2").loc[inputs, list(modalities)].to_numpy()
    given = table.pivot(index="inputs", columns="modality", values="given").loc[inputs, list(modalities)].to_numpy()
    figure = Figure(figsize=(2.6 + 1.1 * len(modalities), 1.2 + 0.36 * len(inputs)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(r2_values, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    for row, column in np.ndindex(r2_values.shape):
        value = r2_values[row, column]
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.55 else "black")
        if given[row, column]:
            corner = (column - 0.46, row - 0.42)
            axes.add_patch(Rectangle(corner, 0.92, 0.84, fill=False, edgecolor="C1", linewidth=1.8))
    axes.set(xticks=range(len(modalities)), xticklabels=modalities, yticks=range(len(inputs)), yticklabels=inputs)
    axes.set(xlabel="map that is drawn", ylabel="maps that are given")
    axes.set_title("R² on held-out participants; framed: the map was given", fontsize=10)
    return figure


def subset_words(table: pd.DataFrame, modalities: Sequence[str]) -> str:
    """R² as text: a row per subset of inputs, a column per modality drawn."""
    r2_values = table.pivot(index="inputs", columns="modality", values="r2")
    order = list(dict.fromkeys(table["inputs"]))
    return r2_values.loc[order, list(modalities)].to_string(float_format=lambda value: f"{value:.3f}")
