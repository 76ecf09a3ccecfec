"""From one map per modality to the code map: of all modalities at once, or of any that are there."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from custom_nets.conv_unit import StandardConv3d

FUSIONS = ("concat", "mean", "product_of_experts")
LEAST_LOG_PRECISION, MOST_LOG_PRECISION = -2.0, 6.0
"""An expert always has some say, or nothing would come back that it could learn from; none is surer than a twentieth of a code's spread."""
PRECISION_STEPS = 5.0
"""Optimizers change a parameter by some hundredths in a hundred steps; precisions must get further."""


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


class Expert(nn.Module):
    """What one modality says of the code: a Gaussian for each of its values.

    Means have a root mean square of 1 over each person's code, so that the standard normal prior is on their scale. How
    precise they are is learned for each channel, not each person: some hundred people teach no more.

    Args:
        in_channels: of the modality's map.
        code_channels: of the code map.

    Shapes: `(B, in_channels, D, H, W)` in; mean and precision, `(B, code_channels, D, H, W)` float32 each, out.
    """

    def __init__(self, in_channels: int, code_channels: int) -> None:
        super().__init__()
        self.mean = StandardConv3d(in_channels, code_channels, (3, 3, 3))
        self.precision = nn.Parameter(torch.zeros(code_channels))
        self.least, self.range = LEAST_LOG_PRECISION, MOST_LOG_PRECISION - LEAST_LOG_PRECISION
        self.steps = PRECISION_STEPS

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.mean(features).float()
        mean = mean / mean.square().mean(dim=(1, 2, 3, 4), keepdim=True).clamp_min(1e-8).sqrt()
        log_precision = self.least + self.range * torch.sigmoid(self.steps * self.precision)
        return mean, log_precision.exp().view(1, -1, 1, 1, 1).expand_as(mean)


class ProductOfExperts(AnySubsetFusion):
    """Each present modality gives a Gaussian per value of the code; the code is the mean of their product.

        precision = 1 + sum of tau_m,   code = sum of tau_m mu_m / precision,   variance = 1 / precision

    over the present modalities; the 1 is the standard normal prior, the expert that is always there. Variances are meant to
    say how far the code will move when the maps that a person lacks are added, and are trained to: see `surprise`.

    Codes are not drawn at random and their divergence from the prior is no part of the loss, as in a variational
    autoencoder: there every subset has to draw the maps that it lacks from a code that is as narrow as that of all maps, and
    its variance says nothing about what it does not know.

    Args:
        n_modalities: M.
        in_channels: of each modality's map.
        code_channels: of the code map.

    Attributes:
        variance: of the last batch, `(B, code_channels, D, H, W)`: what the maps that a person lacks would take away from the
            variance of the code; 0 for people with every map.
        surprise: of the last training batch, at where codes of random parts of people's maps move when the rest is
            added; to be added to the loss.

    Shapes: as `ConcatFusion`.
    Source: Wu and Goodman (2018), Multimodal generative models for scalable weakly-supervised learning, section 2.2, for
    the product; how its variance is trained is ours.
    """

    def __init__(self, n_modalities: int, in_channels: int, code_channels: int) -> None:
        super().__init__(n_modalities)
        self.experts = nn.ModuleList(Expert(in_channels, code_channels) for _ in range(n_modalities))
        self.surprise = torch.zeros(())
        self.variance = torch.ones(1)

    def forward(self, maps: list[Tensor], present: Tensor) -> Tensor:
        means, every_precision = self.opinions(maps)
        precisions = every_precision * present.t()[:, :, None, None, None, None].to(means.dtype)
        mean, variance = product(means, precisions)
        if not torch.compiler.is_compiling():
            self.variance = (variance - product(means, every_precision)[1]).clamp_min(0)
        if self.training:
            self.remember(present)
            part = present & (torch.rand(present.shape, device=present.device) < 0.5)
            self.surprise = surprise(means, precisions, part)
        return mean

    def opinions(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Means and precisions of all experts, each `(M, B, code_channels, D, H, W)`; those of absent maps are not to be used."""
        means: list[Tensor] = []
        precisions: list[Tensor] = []
        for number, expert in enumerate(self.experts):
            mean, precision = expert(maps[number])
            means.append(mean)
            precisions.append(precision)
        return torch.stack(means), torch.stack(precisions)


def product(means: Tensor, precisions: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of the product of experts `(M, B, ...)` and a standard normal prior, each `(B, ...)`."""
    precision = 1 + precisions.sum(dim=0)
    return (precisions * means).sum(dim=0) / precision, 1 / precision


def surprise(means: Tensor, precisions: Tensor, part: Tensor) -> Tensor:
    """How badly the variances of a part of people's maps foretell where the code moves when the rest is added.

    Where experts are right, the code of all maps is normal about that of a part, with the variance that the rest takes
    away: variance(part) - variance(all). This is the negative log-likelihood of that, up to a constant. Only precisions are
    trained by it: the cheapest way to foretell codes is codes that say nothing.

    Args:
        means: `(M, B, code_channels, D, H, W)` of experts.
        precisions: the same, 0 where a map is absent.
        part: `(B, M)` bool; people of whom it is no map or every map do not count.

    Returns:
        Nats of a value, mean over all people and values; 0 if nobody counts.
    """
    own = precisions * part.t()[:, :, None, None, None, None].to(precisions.dtype)
    counts = ((own.sum(dim=0) > 0) & (own.sum(dim=0) < precisions.sum(dim=0))).to(means.dtype)
    (code, variance), (own_code, own_variance) = product(means, precisions), product(means, own)
    squares = (code - own_code).detach().square()
    foretold = (own_variance - variance).clamp_min(1e-8)
    return 0.5 * (counts * (squares / foretold + foretold.log())).mean()


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
