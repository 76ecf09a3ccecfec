"""Forward passes in 16-bit precision where the device is fast at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor


class AutocastInferer(Inferer):
    """Runs the network under bfloat16 autocast, in training and evaluation alike, and gives float32 back.

    bfloat16 needs no loss scaling and works on CPU and GPU, so MONAI's `amp` (CUDA with a gradient scaler) stays off.

    Args:
        amp: use bfloat16 if the device computes in it natively; otherwise and if False, float32.
    """

    def __init__(self, amp: bool = True) -> None:
        super().__init__()
        self.amp = amp

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        use = self.amp and has_native_bfloat16(inputs.device)
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=use):
            return network(inputs, *args, **kwargs).float()


def has_native_bfloat16(device: torch.device) -> bool:
    """True on GPUs from Ampere on and on CPUs with AVX-512 BF16 or AMX."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported())
    return False
