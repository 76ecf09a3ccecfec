"""What one batch is to the engines."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import PrepareBatch
from torch import Tensor


class PrepareReconstructionBatch(PrepareBatch):
    """The images are target and, with what `hide` takes away, input: `{"image": (B, M, D, H, W)}` on the device."""

    def __call__(
        self,
        batchdata: dict[str, Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        images = torch.as_tensor(batchdata["image"]).to(device=device, non_blocking=non_blocking)
        images = self.augment(images)
        return self.hide(images), images

    def augment(self, images: Tensor) -> Tensor:
        """What training may do to a batch `(B, M, D, H, W)`; here nothing."""
        return images

    def hide(self, images: Tensor) -> Tensor:
        """What the network does not see of a batch though it has to draw it, as NaN; here nothing."""
        return images
