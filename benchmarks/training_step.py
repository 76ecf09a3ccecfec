"""What a training step costs: time and memory of the networks of `configs/parts`, on a GPU if there is one.

    python -m benchmarks.training_step [--grids 64] [--networks network.yaml] [--steps 10]

Images are random, in an ellipsoid; the step is that of training: forward under autocast, loss, backward, clipping, optimizer.
One network after another, alone on the device; medians. Memory is the most that torch held on the GPU (on a CPU it is not
measured).
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch
from monai.bundle import ConfigParser

from bundle.engines.inferer import AutocastInferer
from bundle.engines.optimizer import MuonWithAdamW
from bundle.losses import ReconstructionLoss
from bundle.running.process import keep_freed_memory
from custom_nets import FusionAutoencoder

WARM_UP = 3
MODALITIES = ["T1w", "FA", "NDI", "JAC"]
DEFAULT, LARGE, PAPER = "network.yaml", "network_128.yaml", "network_paper.yaml"
ONE_FIT = {"n_cross_fits": 0}
CASES = {
    64: [(DEFAULT, (64, 64, 48), ONE_FIT, 4), (PAPER, (64, 64, 48), {"widths": [4, 8, 16, 32]}, 4)],
    128: [(LARGE, (128, 128, 96), ONE_FIT, 4), (PAPER, (128, 128, 96), {}, 4)],
    192: [(LARGE, (192, 224, 192), ONE_FIT, 1), (PAPER, (192, 224, 192), {}, 1)],
}  # fmt: skip
"""Grid -> part, spatial size, other arguments, participants a step."""


def network_of(part: str, spatial_size: tuple[int, ...], arguments: dict[str, object]) -> FusionAutoencoder:
    parser = ConfigParser({"modalities": MODALITIES, "spatial_size": list(spatial_size)})
    parser["network"] = ConfigParser.load_config_file(Path("configs/parts") / part) | arguments
    return parser.get_parsed_content("network")


def people(spatial_size: tuple[int, ...], number: int) -> torch.Tensor:
    axes = torch.meshgrid(*(torch.linspace(-1.1, 1.1, size) for size in spatial_size), indexing="ij")
    brain = sum(axis.square() for axis in axes) < 1
    return torch.rand(number, len(MODALITIES), *spatial_size).add(0.1) * brain


class Contender:
    """A network with its optimizer, on the device."""

    def __init__(self, part, spatial_size, arguments, batch_size, amp, device) -> None:
        self.device = device
        self.network = network_of(part, spatial_size, arguments).to(device)
        images = people(spatial_size, max(2, batch_size))
        self.network.fit_to_images(lambda: iter(images))
        self.batch = images[:batch_size].to(device)
        self.optimizer = MuonWithAdamW(self.network.parameters())
        self.loss, self.inferer = ReconstructionLoss(self.network), AutocastInferer(amp)
        self.network.train()

    def step(self) -> float:
        started = self._now()
        self.optimizer.zero_grad()
        self.loss(self.inferer(self.batch, self.network), self.batch).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        return self._now() - started

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def measured(contender: Contender, n_steps: int) -> str:
    """Parameters, milliseconds a step, participants per second and GB, as cells."""
    if contender.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = statistics.median([contender.step() for _ in range(n_steps + WARM_UP)][WARM_UP:])
    memory = f"{torch.cuda.max_memory_allocated() / 1e9:.1f}" if contender.device.type == "cuda" else "n/a"
    parameters = sum(parameter.numel() for parameter in contender.network.parameters())
    return f"{parameters:,} | {1e3 * seconds:.0f} | {len(contender.batch) / seconds:.1f} | {memory}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grids", type=int, nargs="+", default=[64], choices=list(CASES))
    parser.add_argument("--networks", nargs="+", default=[DEFAULT, LARGE], choices=[DEFAULT, LARGE, PAPER])
    parser.add_argument("--steps", type=int, default=10)
    chosen = parser.parse_args()
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads")
    print("| network | grid, participants | parameters | precision | ms a step | people/s | GB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    cases = [case for grid in chosen.grids for case in CASES[grid] if case[0] in chosen.networks]
    for part, spatial_size, arguments, batch_size in cases:
        for amp in (False, True):
            grid, precision = " x ".join(map(str, spatial_size)), "bfloat16" if amp else "float32"
            try:
                cells = measured(Contender(part, spatial_size, arguments, batch_size, amp, device), chosen.steps)
            except torch.cuda.OutOfMemoryError:
                cells = "n/a | does not fit | n/a | n/a"
                torch.cuda.empty_cache()
            parameters, rest = cells.split(" | ", 1)
            print(f"| {part} | {grid}, {batch_size} | {parameters} | {precision} | {rest} |", flush=True)


if __name__ == "__main__":
    main()
