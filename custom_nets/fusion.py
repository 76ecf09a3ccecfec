"""From one map per modality to the code map: of all modalities at once, or of any that are there."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from custom_nets.conv_unit import StandardConv3d

FUSIONS = ("concat", "mean", "product_of_experts")
FIRST_LOG_PRECISION = 2.0
"""Of every expert in a fresh network: codes start with little noise, or nothing would be learned from them."""
WARM_UP_BATCHES = 200
"""Training batches over which the divergence comes to count: before the decoders draw anything it would empty the code."""


def maps_present(images: Tensor) -> Tensor:
    """Which maps each person has: `(B, M, D, H, W)` to `(B, M)` bool; an absent map is NaN everywhere."""
    return ~torch.isnan(images).flatten(2).all(dim=2)


class ConcatFusion(nn.Module):
    """The paper's: one convolution over the maps of all modalities.

    Args:
        n_modalities: M.
        in_channels: of each modality's map.
        code_channels: of the code map.

    Shapes: M maps `(B, in_channels, D, H, W)` and `(B, M)` bool in; `(B, code_channels, D, H, W)` out.

    Raises:
        ValueError: when called on people who lack a map.
    """

    def __init__(self, n_modalities: int, in_channels: int, code_channels: int) -> None:
        super().__init__()
        self.joint = StandardConv3d(n_modalities * in_channels, code_channels, (3, 3, 3))

    def forward(self, maps: list[Tensor], present: Tensor) -> Tensor:
        if not torch.compiler.is_compiling() and not bool(present.all()):
            raise ValueError("Fusion by concatenation needs every map of a person; mean and product_of_experts do not.")
        return self.joint(torch.cat(maps, dim=1))


class AnySubsetFusion(nn.Module):
    """What `mean` and `product_of_experts` share: each modality proposes a code map, those that are there count.

    Attributes:
        n_modalities: M.
        seen: `(2^M,)` bool, which subsets training has shown; a subset is the sum of 2^m over its modalities' numbers.
    """

    seen: Tensor

    def __init__(self, n_modalities: int) -> None:
        super().__init__()
        self.n_modalities = n_modalities
        self.register_buffer("seen", torch.zeros(2**n_modalities, dtype=torch.bool))

    def remember(self, present: Tensor) -> None:
        """Note which subsets a training batch `(B, M)` held."""
        self.seen[subset_numbers(present)] = True


class MeanFusion(AnySubsetFusion):
    """Mean of the code maps that the present modalities propose; with all present, a concatenation's convolution.

    Args:
        n_modalities: M.
        in_channels: of each modality's map.
        code_channels: of the code map.

    Shapes: as `ConcatFusion`.
    """

    def __init__(self, n_modalities: int, in_channels: int, code_channels: int) -> None:
        super().__init__(n_modalities)
        self.proposals = nn.ModuleList(
            StandardConv3d(in_channels, code_channels, (3, 3, 3)) for _ in range(n_modalities)
        )

    def forward(self, maps: list[Tensor], present: Tensor) -> Tensor:
        if self.training:
            self.remember(present)
        total = torch.zeros(1, device=present.device)
        for number, proposal in enumerate(self.proposals):
            total = total + _where_present(proposal(maps[number]), present, number)
        return total / present.sum(dim=1).to(total.dtype).view(-1, 1, 1, 1, 1)


class ProductOfExperts(AnySubsetFusion):
    """Each present modality gives a Gaussian per value of the code; the code is the mean of their product.

        precision = 1 + sum of tau_m,   code = sum of tau_m mu_m / precision,   variance = 1 / precision

    over the present modalities; the 1 is the standard normal prior, the expert that is always there. In training the
    code is drawn from that Gaussian, and `divergence` is how far it is from the prior, for the loss; afterwards the
    code is the mean.

    Args:
        n_modalities: M.
        in_channels: of each modality's map.
        code_channels: of the code map.

    Attributes:
        n_batches: training batches so far.
        variance: of the code map of the last batch, `(B, code_channels, D, H, W)`.
        divergence: Kullback-Leibler divergence from the prior in nats, summed over the code, mean over people, of the
            last training batch; less in the first `WARM_UP_BATCHES`.

    Shapes: as `ConcatFusion`.
    Source: Wu and Goodman (2018), Multimodal generative models for scalable weakly-supervised learning, section 2.2;
    the warm-up of Sonderby et al. (2016), arXiv 1602.02282.
    """

    n_batches: Tensor

    def __init__(self, n_modalities: int, in_channels: int, code_channels: int) -> None:
        super().__init__(n_modalities)
        self.proposals = nn.ModuleList(
            StandardConv3d(in_channels, 2 * code_channels, (3, 3, 3)) for _ in range(n_modalities)
        )
        for proposal in self.proposals:
            with torch.no_grad():
                proposal.weight[code_channels:] = 0
                proposal.bias[code_channels:] = FIRST_LOG_PRECISION
        self.register_buffer("n_batches", torch.zeros((), dtype=torch.long))
        self.warm_up_batches = WARM_UP_BATCHES
        self.divergence = torch.zeros(())
        self.variance = torch.ones(1)

    def forward(self, maps: list[Tensor], present: Tensor) -> Tensor:
        mean, variance = self.posterior(maps, present)
        if not torch.compiler.is_compiling():
            self.variance = variance
        if self.training:
            self.remember(present)
            excess = variance + mean.square() - 1 - variance.log()
            self.n_batches.add_(1)
            counts = (self.n_batches / self.warm_up_batches).clamp_max(1)
            self.divergence = 0.5 * counts * excess.flatten(1).sum(dim=1).mean()
            mean = mean + variance.sqrt() * torch.randn_like(mean)
        return mean

    def posterior(self, maps: list[Tensor], present: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of the code map, each `(B, code_channels, D, H, W)` float32."""
        precision = torch.ones(1, device=present.device)
        weighted = torch.zeros(1, device=present.device)
        for number, proposal in enumerate(self.proposals):
            mean, log_precision = proposal(maps[number]).float().chunk(2, dim=1)
            own = _where_present(log_precision.clamp(-10, 10).exp(), present, number)
            precision = precision + own
            weighted = weighted + own * mean
        return weighted / precision, 1 / precision


def make_fusion(kind: str, n_modalities: int, in_channels: int, code_channels: int) -> nn.Module:
    """`concat` (the paper; needs every map), `mean` or `product_of_experts`.

    Raises:
        ValueError: for any other name.
    """
    if kind not in FUSIONS:
        raise ValueError(f"Expected fusion to be one of {FUSIONS}, got {kind!r}.")
    kinds = dict(zip(FUSIONS, (ConcatFusion, MeanFusion, ProductOfExperts), strict=True))
    return kinds[kind](n_modalities, in_channels, code_channels)


def subset_numbers(present: Tensor) -> Tensor:
    """`(B, M)` bool to `(B,)`: the sum of 2^m over the modalities that are there."""
    powers = 2 ** torch.arange(present.shape[1], device=present.device)
    return (present.long() * powers).sum(dim=1)


def subset_members(number: int, modalities: Sequence[str]) -> tuple[str, ...]:
    """The modalities of a subset's number."""
    return tuple(modality for bit, modality in enumerate(modalities) if number >> bit & 1)


def _where_present(proposal: Tensor, present: Tensor, number: int) -> Tensor:
    return proposal * present[:, number].to(proposal.dtype).view(-1, 1, 1, 1, 1)
