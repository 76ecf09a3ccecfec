"""Depthwise 3D convolution, forward and backward: ours against torch's own, side by side.

    python benchmarks/depthwise.py

One thread, one process, contenders in turn, medians of ratios over the rounds.
"""

from __future__ import annotations

import time

import numpy as np
import torch
import torch.nn.functional as F

from bundle.running.process import keep_freed_memory
from custom_nets.depthwise_conv import DepthwiseConv3d

CASES = [(16, (64, 64, 48), 1), (64, (16, 16, 12), 4), (96, (8, 8, 6), 4), (64, (48, 56, 48), 1)]
ROUNDS = 7


def seconds(function, volume, dtype) -> float:
    started = time.process_time()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        out = function(volume)
    out.float().sum().backward()
    return time.process_time() - started


def main() -> None:
    keep_freed_memory()
    torch.set_num_threads(1)
    print("| channels, grid, batch | precision | native ms | ours ms | native / ours (least to most) |")
    print("| --- | --- | --- | --- | --- |")
    for channels, grid, batch in CASES:
        layer = DepthwiseConv3d(channels, (3, 3, 3))
        volume = torch.randn(batch, channels, *grid).to(memory_format=torch.channels_last_3d).requires_grad_()
        native_volume = volume.detach().contiguous().requires_grad_()

        def native(x, layer=layer, channels=channels):
            return F.conv3d(F.pad(x, layer.padding), layer.weight, groups=channels)

        for dtype in (torch.float32, torch.bfloat16):
            times = []
            for number in range(ROUNDS + 2):
                pair = (seconds(native, native_volume, dtype), seconds(layer, volume, dtype))
                times += [pair] if number >= 2 else []
            theirs, ours = np.array(times).T
            ratio = theirs / ours
            name = f"{channels}, {' x '.join(map(str, grid))}, {batch}"
            print(
                f"| {name} | {str(dtype).removeprefix('torch.')} | {1e3 * np.median(theirs):.1f} | "
                f"{1e3 * np.median(ours):.1f} | {np.median(ratio):.1f} ({ratio.min():.1f} to {ratio.max():.1f}) |"
            )


if __name__ == "__main__":
    main()
