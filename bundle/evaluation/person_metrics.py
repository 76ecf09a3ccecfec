"""Metrics of each participant and modality: errors, structural similarity, contrast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.metrics import CumulativeIterationMetric
from monai.metrics.regression import compute_ssim_and_cs
from torch import Tensor

from bundle.analysis.tissue import grey_and_white_matter
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


class MaskedMSE(CumulativeIterationMetric):
    """Mean squared error per participant and modality, in scaled units.

        MSE = mean of ((x_hat - x) / gain)^2

    With the `residual` scaling 1 is about what the mean image scores; with `min_max` units are those of the paper.
    Outside the brain nothing is scaled or reconstructed, so the error there is 0.

    Args:
        inverse_gain: `(M, D, H, W)` of the network's scaling.
        mask: `(D, H, W)` voxels to average over, or None for the whole grid.

    Source: Dimitri et al. (2022) report MSE; where (mask or grid) is not known, so both are written.
    """

    def __init__(self, inverse_gain: Tensor, mask: Tensor | None = None) -> None:
        super().__init__()
        self.inverse_gain = inverse_gain.cpu()
        self.mask = None if mask is None else mask.cpu() > 0

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **kwargs: Any) -> Tensor:
        error = ((y_pred - y).cpu() * self.inverse_gain).square()
        return error.mean(dim=(2, 3, 4)) if self.mask is None else error[:, :, self.mask].mean(dim=2)

    def aggregate(self) -> Tensor:
        """`(N, M)`, in the order of the participants."""
        return self.get_buffer()


class NormalisedDifference(CumulativeIterationMetric):
    """Norm of the difference over norm of the image, per participant and modality, in the brain mask and own units.

        NormDiff = ||x - x_hat||_2 / ||x||_2

    Args:
        mask: `(D, H, W)`.

    Source: named in Dimitri et al. (2022) without a formula; this is the usual one.
    """

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.mask = mask.cpu() > 0

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **kwargs: Any) -> Tensor:
        image = y.cpu()[:, :, self.mask]
        return (y_pred.cpu()[:, :, self.mask] - image).norm(dim=2) / image.norm(dim=2)

    def aggregate(self) -> Tensor:
        """`(N, M)`, in the order of the participants."""
        return self.get_buffer()


class ContrastToNoiseRatio(CumulativeIterationMetric):
    """Contrast between grey and white matter of the reconstruction over that of the image, per participant and modality.

        CNR = |mu_GM - mu_WM| / sqrt(var_GM + var_WM);   returned: CNR(x_hat) / CNR(x)

    1 keeps the contrast; above 1 the reconstruction is smoother than the image within a tissue. NaN for modalities
    that do not show tissue (a Jacobian has no contrast to keep).

    Args:
        grey: `(D, H, W)` grey matter voxels.
        white: `(D, H, W)` white matter voxels.
        shows_tissue: one boolean per modality.

    Source: named in Dimitri et al. (2022) without a formula; forms with air variance have no meaning in masked images.
    """

    def __init__(self, grey: Tensor, white: Tensor, shows_tissue: Sequence[bool]) -> None:
        super().__init__()
        self.grey, self.white = grey.cpu() > 0, white.cpu() > 0
        self.shows_tissue = torch.tensor(list(shows_tissue))

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **kwargs: Any) -> Tensor:
        ratio = self._cnr(y_pred.cpu()) / self._cnr(y.cpu())
        return torch.where(self.shows_tissue, ratio, torch.nan)

    def _cnr(self, images: Tensor) -> Tensor:
        grey, white = images[:, :, self.grey], images[:, :, self.white]
        return (grey.mean(2) - white.mean(2)).abs() / (grey.var(2) + white.var(2)).sqrt()

    def aggregate(self) -> Tensor:
        """`(N, M)`, in the order of the participants."""
        return self.get_buffer()


class StructuralSimilarity(CumulativeIterationMetric):
    """Structural similarity per participant and modality: the mean of MONAI's SSIM map over the brain.

    Outside the brain both images are set to the mean image, since nothing is reconstructed there; the map's mean over
    the whole grid would count that as agreement.

    Args:
        mean_image: `(M, D, H, W)`; its span per modality is SSIM's data range.
        mask: `(D, H, W)`.

    Source: Wang et al. (2004), Gaussian window of 7 voxels, sigma 1; `monai.metrics.regression.compute_ssim_and_cs`.
    """

    window = 7

    def __init__(self, mean_image: Tensor, mask: Tensor) -> None:
        super().__init__()
        self.mean_image, self.mask = mean_image.cpu(), mask.cpu() > 0
        self.span = self.mean_image.amax(dim=(1, 2, 3)) - self.mean_image.amin(dim=(1, 2, 3))
        edge = self.window // 2
        self.inner_mask = self.mask[tuple(slice(edge, size - edge) for size in self.mask.shape)]

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **kwargs: Any) -> Tensor:
        drawn, images = (torch.where(self.mask, volume.cpu(), self.mean_image) for volume in (y_pred, y))
        columns = []
        for channel, span in enumerate(self.span.clamp_min(1e-6)):
            similarity, _ = compute_ssim_and_cs(
                drawn[:, channel : channel + 1],
                images[:, channel : channel + 1],
                spatial_dims=3,
                data_range=float(span),
                kernel_size=[self.window] * 3,
                kernel_sigma=[1.0] * 3,
            )
            columns.append(similarity[:, 0, self.inner_mask].mean(dim=1))
        return torch.stack(columns, dim=1)

    def aggregate(self) -> Tensor:
        """`(N, M)`, in the order of the participants."""
        return self.get_buffer()
