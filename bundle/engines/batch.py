"""What one batch is to the engines."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import PrepareBatch
from torch import Tensor


class PrepareReconstructionBatch(PrepareBatch):
    """The images are input and target alike: `{"image": (B, M, D, H, W)}` on the device."""

    def __call__(
        self,
        batchdata: dict[str, Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        images = torch.as_tensor(batchdata["image"]).to(device=device, non_blocking=non_blocking)
        return images, images
