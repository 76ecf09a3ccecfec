"""The per-person metrics of an evaluation."""

from __future__ import annotations

import torch
from monai.metrics import CumulativeIterationMetric

from bundle.analysis.tissue import grey_and_white_matter
from bundle.metrics import ContrastToNoiseRatio, MaskedMSE, NormalisedDifference, StructuralSimilarity
from custom_nets import FusionAutoencoder

TISSUE_MODALITIES = ("T1w", "FA", "NDI")
"""Maps in which grey and white matter differ."""


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
