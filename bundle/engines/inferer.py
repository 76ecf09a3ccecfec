"""Forward passes in 16-bit precision where the device is fast at it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor

from custom_nets.depthwise_conv import DepthwiseConv3d

logger = logging.getLogger(__name__)
BFLOAT16_ERROR = 0.03
"""Of the largest value; bfloat16 keeps 8 bits, sums add some."""


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
    """True on GPUs from Ampere on and on CPUs with AVX-512 BF16 or AMX whose convolutions give the right values."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported()) and _convolves_rightly()
    return False


@lru_cache
@torch.inference_mode(False)
@torch.enable_grad()
def _convolves_rightly() -> bool:
    """Whether a depthwise convolution in bfloat16 is that in float32, but for rounding; warns if not.

    On an Intel CPU, torch 2.11 gave values that had nothing to do with the right ones, without an error. A few milliseconds, once.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [DepthwiseConv3d(channels, kernel) for channels, kernel in ((4, (3, 3, 3)), (64, (5, 6, 5)))]
        volumes = [torch.randn(2, len(layer.weight), 7, 8, 9) for layer in layers]
    for layer, volume in zip(layers, volumes, strict=True):
        results = []
        for enabled in (False, True):
            entry = volume.clone().requires_grad_()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
                out = layer(entry).float()
            gradients = torch.autograd.grad(out.square().sum(), (entry, layer.weight))
            results.append((out.detach(), *gradients))
        for exact, rounded in zip(*results, strict=True):
            if not (rounded - exact).abs().max() <= BFLOAT16_ERROR * exact.abs().max():
                logger.warning("This CPU's bfloat16 convolutions give wrong values in torch %s: float32 is used instead, which is slower.", torch.__version__)  # fmt: skip
                return False
    return True
