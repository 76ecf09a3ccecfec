"""Optimizers: Muon for weight matrices with AdamW for everything else, and the Adam of the paper."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from bundle.engines.batched_muon import BatchedMuon


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon on two-dimensional weights, AdamW on filters, norms and biases.

    Muon orthogonalises each matrix's update (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon); the
    pointwise convolutions hold nearly all weights of our networks. At equal time it explains far more than AdamW alone
    (docs/results.md, "What was tried").

    Args:
        params: parameters of a network.
        lr: learning rate of both; Muon's update is scaled to the root mean square of AdamW's.
        weight_decay: of the matrices; other parameters are not decayed.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float = 5e-3, weight_decay: float = 0.1) -> None:
        everything = [parameter for parameter in params if parameter.requires_grad]
        matrices = [parameter for parameter in everything if parameter.ndim == 2]
        others = [parameter for parameter in everything if parameter.ndim != 2]
        self.parts: list[torch.optim.Optimizer] = []
        if matrices:
            self.parts.append(BatchedMuon(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"))
        if others:
            self.parts.append(torch.optim.AdamW(others, lr=lr, weight_decay=0.0))
        super().__init__(everything, {"lr": lr})
        self._share_groups()

    def _share_groups(self) -> None:
        """Schedulers change the groups of this optimizer; they are those of the parts."""
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step of each part; the closure is called once."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The states of the parts."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share_groups()


class AdamWithKernelPenalty(torch.optim.Adam):
    """Adam, with an L2 penalty on convolution kernels that is part of the loss, as in Keras.

    `penalty` times the sum of squares of each kernel is added to the loss, so that its gradient, 2 `penalty` times the
    kernel, goes through Adam's moments like the rest; biases and norms have none. (`AdamW` decays weights beside the moments.)

    Args:
        params: parameters of a network.
        lr: learning rate.
        penalty: factor of the sum of squares.

    Source: released code of Dimitri et al. (2022): Adam at 1e-3, L2 5e-5, and the epsilon of Keras, 1e-7.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float = 1e-3, penalty: float = 5e-5) -> None:
        everything = [parameter for parameter in params if parameter.requires_grad]
        kernels = [parameter for parameter in everything if parameter.ndim > 1]
        others = [parameter for parameter in everything if parameter.ndim <= 1]
        groups = [{"params": kernels, "weight_decay": 2 * penalty}, {"params": others, "weight_decay": 0.0}]
        super().__init__([group for group in groups if group["params"]], lr=lr, eps=1e-7)
