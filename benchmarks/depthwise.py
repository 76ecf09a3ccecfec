"""Depthwise 3D convolution, forward and backward: ours against torch's own, side by side.

    python -m benchmarks.depthwise

One process, contenders in turn, medians of ratios over the rounds. On a CPU one thread, where torch's own pass takes its default
memory layout. On a GPU torch's own is timed in both layouts: contiguous, which `DepthwiseConv3d` takes there, and channels-last.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bundle.running.process import keep_freed_memory
from custom_nets.depthwise_conv import DepthwiseConv3d, _DepthwiseConv3dFunction

CASES = [
    (16, (64, 64, 48), 1, (3, 3, 3)),
    (64, (16, 16, 12), 4, (3, 3, 3)),
    (96, (8, 8, 6), 4, (3, 3, 3)),
    (64, (48, 56, 48), 1, (3, 3, 3)),
]
GPU_CASES = [
    (64, (16, 16, 12), 4, (3, 3, 3)),
    (64, (64, 64, 48), 1, (3, 3, 3)),
    (16, (64, 64, 48), 4, (3, 3, 3)),
    (16, (64, 64, 48), 4, (5, 6, 5)),
]
"""Channels, grid, batch, filter."""
ROUNDS, WARM_UP = 7, 2
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def now() -> float:
    """Seconds of this process's CPU, or of the clock once a GPU has done its work."""
    if DEVICE.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def seconds(function: Callable[[Tensor], Tensor], volume: Tensor, dtype: torch.dtype) -> float:
    started = now()
    with torch.autocast(DEVICE.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        out = function(volume)
    out.float().sum().backward()
    return now() - started


def contenders(channels: int, kernel_size: tuple[int, ...], volume: Tensor, dtype: torch.dtype) -> dict[str, tuple]:
    """Name -> function and its volume; the last is what the ratios are to."""
    layer = DepthwiseConv3d(channels, kernel_size).to(DEVICE)
    last = volume.to(memory_format=torch.channels_last_3d).requires_grad_()
    plain = volume.detach().contiguous().requires_grad_()

    def native(x: Tensor) -> Tensor:
        return F.conv3d(F.pad(x, layer.padding), layer.weight, groups=channels)

    def ours(x: Tensor) -> Tensor:
        return _DepthwiseConv3dFunction.apply(F.pad(x, layer.padding).to(dtype), layer.weight.to(dtype))

    if DEVICE.type == "cpu":
        return {"native": (native, plain), "ours": (layer, last)}
    return {"channels-last": (native, last), "fast form": (ours, last), "contiguous": (native, plain)}


def main() -> None:
    keep_freed_memory()
    torch.set_num_threads(1)
    is_first = True
    for channels, grid, batch, kernel_size in CASES if DEVICE.type == "cpu" else GPU_CASES:
        volume = torch.randn(batch, channels, *grid, device=DEVICE)
        for dtype in (torch.float32, torch.bfloat16):
            chosen = contenders(channels, kernel_size, volume, dtype)
            times = [[seconds(*pair, dtype) for pair in chosen.values()] for _ in range(ROUNDS + WARM_UP)][WARM_UP:]
            columns = dict(zip(chosen, np.array(times).T, strict=True))
            *others, base = columns
            if is_first:
                heads = [*(f"{name} ms" for name in columns), *(f"{name} / {base} (least to most)" for name in others)]
                print(f"| channels, grid, batch, filter | precision | {' | '.join(heads)} |")
                print("| --- " * (2 + len(heads)) + "|")
                is_first = False
            ratios = [columns[name] / columns[base] for name in others]
            cells = [f"{1e3 * np.median(times):.2f}" for times in columns.values()]
            cells += [f"{np.median(ratio):.1f} ({ratio.min():.1f} to {ratio.max():.1f})" for ratio in ratios]
            case = f"{channels}, {' x '.join(map(str, grid))}, {batch}, {' x '.join(map(str, kernel_size))}"
            print(f"| {case} | {str(dtype).removeprefix('torch.')} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
