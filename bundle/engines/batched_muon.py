"""Muon that takes matrices of one shape at once, for GPUs, where its small products are all launching and no work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class BatchedMuon(torch.optim.Muon):
    """`torch.optim.Muon` with the same state and arguments, and the same steps but for the rounding of bfloat16 products.

    Torch's own works on one matrix after another: for our default network, some 2,500 launches a step, four fifths of a step's
    time on a GPU (`python -m benchmarks.training_step`). Here all matrices of one shape, turned to be wide, are one batch.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step; the closure is called once."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters: list[Tensor] = []
            gradients: list[Tensor] = []
            momenta: list[Tensor] = []
            self._init_group(group, parameters, gradients, momenta)
            if not parameters:
                continue
            torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
            updates = momenta
            if group["nesterov"]:
                updates = list(torch._foreach_lerp(gradients, momenta, group["momentum"]))
            directions = orthogonalised(updates, group["ns_coefficients"], group["ns_steps"], group["eps"])
            rates = [-group["lr"] * _ratio(group["adjust_lr_fn"], *parameter.shape) for parameter in parameters]
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(parameters, torch._foreach_mul(directions, rates))
        return loss


def orthogonalised(
    matrices: Sequence[Tensor], coefficients: tuple[float, float, float], n_steps: int, eps: float
) -> list[Tensor]:
    """The matrices with singular values near 1, by Newton-Schulz steps in bfloat16; float32, in the same order.

    Args:
        matrices: of any shapes.
        coefficients: of the quintic polynomial.
        n_steps: how often it is applied.
        eps: least Frobenius norm.

    Source: Jordan et al. (2024), https://kellerjordan.github.io/posts/muon
    """
    alike: dict[tuple[int, int], list[int]] = {}
    for number, matrix in enumerate(matrices):
        height, width = matrix.shape
        alike.setdefault((min(height, width), max(height, width)), []).append(number)
    found: dict[int, Tensor] = {}
    a, b, c = coefficients
    for numbers in alike.values():
        is_tall = {number: matrices[number].shape[0] > matrices[number].shape[1] for number in numbers}
        batch = torch.stack([matrices[n].mT if is_tall[n] else matrices[n] for n in numbers]).bfloat16()
        batch = batch / torch.linalg.matrix_norm(batch, keepdim=True).clamp(min=eps)
        for _ in range(n_steps):
            gram = batch @ batch.mT
            batch = torch.baddbmm(batch, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), batch, beta=a)
        for number, matrix in zip(numbers, batch.float(), strict=True):
            found[number] = matrix.mT if is_tall[number] else matrix
    return [found[number] for number in range(len(matrices))]


def _ratio(adjust: str | None, height: int, width: int) -> float:
    """Of a matrix's learning rate to that of the group."""
    return 0.2 * max(height, width) ** 0.5 if adjust == "match_rms_adamw" else max(1.0, height / width) ** 0.5
