"""What one batch is to the engines."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import PrepareBatch
from torch import Tensor


class PrepareReconstructionBatch(PrepareBatch):
    """The images are input and target: `{"image": (B, M, D, H, W)}` to (image, image) on the device."""

    def __call__(
        self,
        batchdata: dict[str, Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        images = torch.as_tensor(batchdata["image"]).to(device=device, non_blocking=non_blocking)
        images = self.augment(images)
        return images, images

    def augment(self, images: Tensor) -> Tensor:
        """What training may do to a batch `(B, M, D, H, W)`; here nothing."""
        return images
