"""Neurite density by NODDI: every voxel against every tissue of a grid, in two matrix products."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from bundle.mapping.gradients import NOISE_B0, NOISE_DIRECTIONS, Gradients
from bundle.mapping.noise import noise_sd_of, rician_mean
from bundle.mapping.watson import DEGREE, FREE, legendre_series, tissue_signals

T = TypeVar("T")
N_TERMS = DEGREE // 2 + 1
LEVELS_PER_OCTAVE = 6
LOWEST_NOISE, HIGHEST_NOISE = 1 / 256, 1 / 3
LEARNING_ROUNDS, LEARNING_VOXELS = 2, 4000
MOMENTS_AT_ONCE = 4096
ELEMENTS_AT_ONCE = {"cpu": 1 << 20, "cuda": 1 << 27}
"""Voxels times tissues in memory at once: on a CPU what its cache holds."""


@dataclass(frozen=True)
class NoddiMaps:
    """Of V voxels, float32, all fractions.

    Attributes:
        ndi: `(V,)` neurite density: share of neurites in tissue.
        odi: `(V,)` orientation dispersion: 0 is one direction, 1 is all alike.
        free_water: `(V,)` share of free water in the voxel.
        noise_sd: of the magnitudes, in the units of the signals.
    """

    ndi: np.ndarray
    odi: np.ndarray
    free_water: np.ndarray
    noise_sd: float


@dataclass(frozen=True)
class TissueGrid:
    """The tissues that voxels are compared with; orientation dispersion is denser where signals change faster.

    Args:
        n_ndi, n_odi, n_free_water: nodes in [0, 1].
    """

    n_ndi: int = 24
    n_odi: int = 24
    n_free_water: int = 24

    @property
    def tissues(self) -> tuple[np.ndarray, np.ndarray]:
        """NDI and ODI, `(n_ndi n_odi,)` each."""
        ndi, odi = np.meshgrid(_middles(self.n_ndi), 0.01 + 0.95 * _middles(self.n_odi) ** 1.5, indexing="ij")
        return ndi.ravel(), odi.ravel()

    @property
    def values(self) -> np.ndarray:
        """`(A, 3)` NDI, ODI and free water of each of the A combinations."""
        ndi, odi = self.tissues
        free = _middles(self.n_free_water)
        return np.stack([np.repeat(ndi, len(free)), np.repeat(odi, len(free)), np.tile(free, len(ndi))], axis=1)

    @property
    def log_prior(self) -> np.ndarray:
        """`(A,)` such that NDI, ODI and free water are equally probable from 0 to 1, whatever their nodes."""
        return np.log(np.maximum(self.values[:, 1] - 0.01, 1e-9)) / 3  # the derivative of x^1.5 is x^.5


def _middles(count: int) -> np.ndarray:
    return (np.arange(count) + 0.5) / count


class Dictionary:
    """Expected magnitudes of all tissues of a grid, as Legendre series of the cosine to the fibre direction.

    The mean of Rician noise is in them, so that no floor biases the fit. With series, the sum over volumes of (signal x
    expectation) is a product of moments of the voxel with coefficients of the tissue, and so is that of squares.

    Args:
        grid: tissues.
        b_values: of the shells.
        noise: standard deviation of the noise over the signal without weighting.
        device: where to keep it.
    """

    def __init__(self, grid: TissueGrid, b_values: list[float], noise: float, device: torch.device) -> None:
        ndi, odi = grid.tissues
        free = _middles(grid.n_free_water)
        flat = rician_mean(np.ones((len(ndi) * len(free), 1)), noise)
        linear, squared = [flat], [flat**2]
        for b_value in b_values:
            tissue = tissue_signals(b_value, ndi, odi)[:, None]
            signal = (1 - free)[:, None] * tissue + (free * np.exp(-b_value * FREE))[:, None]
            expected = rician_mean(signal.reshape(-1, signal.shape[-1]), noise)
            linear.append(legendre_series(expected))
            squared.append(legendre_series(expected**2))
        self.linear = torch.as_tensor(np.concatenate(linear, axis=1).T, dtype=torch.float32, device=device)
        self.squared = torch.as_tensor(np.concatenate(squared, axis=1).T, dtype=torch.float32, device=device)
        self.linear /= noise * 2**0.5  # so that what is squared is the logarithm of a likelihood

    def posterior(self, with_signal: Tensor, alone: Tensor, log_prior: Tensor) -> Tensor:
        """`(V, A)` how probable each tissue is; the signal without weighting takes its most probable value.

        The sum of squared errors is least where that value is the quotient of the two sums, and then differs from the sum
        of squared signals by (signal x expectation)^2 / expectation^2.

        Args:
            with_signal, alone: see `moments`.
            log_prior: `(A,)`.
        """
        fits = (with_signal @ self.linear).square_()
        return torch.softmax(torch.addcdiv(log_prior, fits, alone @ self.squared), dim=1)


def moments(signals: Tensor, directions: Tensor, gradients: Gradients) -> tuple[Tensor, Tensor]:
    """Sums over volumes of Legendre polynomials of the cosine to the fibre, with the signals as weights and without.

    Args:
        signals: `(V, N)` divided by the signal without weighting.
        directions: `(V, 3)` of fibres.
        gradients: of the N volumes.

    Returns:
        Two `(V, 1 + shells x N_TERMS)`.
    """
    is_b0 = torch.as_tensor(gradients.is_b0, device=signals.device)
    weighted = [signals[:, is_b0].sum(dim=1, keepdim=True)]
    alone = [torch.full_like(weighted[0], float(is_b0.sum()))]
    shell_of = torch.as_tensor(gradients.shell_of, device=signals.device)
    vectors = torch.as_tensor(gradients.directions, dtype=signals.dtype, device=signals.device)
    for shell in gradients.shells:
        own = shell_of == shell
        cosines, values = directions @ vectors[own].T, signals[:, own]
        before, polynomial = torch.ones_like(cosines), cosines
        for degree in range(0, DEGREE + 1, 2):
            weighted.append((values * before).sum(dim=1, keepdim=True))
            alone.append(before.sum(dim=1, keepdim=True))
            odd = polynomial
            before = ((2 * degree + 3) * cosines * odd - (degree + 1) * before) / (degree + 2)
            polynomial = ((2 * degree + 5) * cosines * before - (degree + 2) * odd) / (degree + 3)
    return torch.cat(weighted, dim=1), torch.cat(alone, dim=1)


def fit_noddi(
    signals: np.ndarray,
    gradients: Gradients,
    directions: np.ndarray,
    grid: TissueGrid | None = None,
    noise_sd: float | None = None,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> NoddiMaps:
    """Expected NDI, ODI and free water of each voxel, given its signals and which tissues the brain is made of.

    Every tissue of the grid is given the likelihood of the voxel's signals under Rician noise. How frequent tissues are
    is learnt from the brain itself: all are equally probable at first, then as frequent as they were found in 4000
    voxels, twice (empirical Bayes). What is returned is the mean over tissues.

    Args:
        signals: `(V, N)` magnitudes.
        gradients: of the N volumes; `why_no_noddi` must have no objection.
        directions: `(V, 3)` of fibres, such as the first eigenvector of the tensor.
        grid: tissues.
        noise_sd: standard deviation of the noise; None estimates it from the lowest shell, or from volumes without
            weighting if that has less than 20 directions.
        device: where to compute.
        progress: show a bar.

    Source: Zhang et al. (2012), NeuroImage 61, for the model; the fit is ours.
    """
    grid = grid or TissueGrid()
    unweighted = signals[:, gradients.is_b0].mean(axis=1)
    if noise_sd is None:
        noise_sd = estimate_noise(signals, gradients)
    relative = np.clip(
        noise_sd / np.maximum(unweighted, 1e-6 * max(unweighted.max(), 1e-30)), LOWEST_NOISE, HIGHEST_NOISE
    )
    levels = np.round(np.log2(relative) * LEVELS_PER_OCTAVE).astype(int)
    device = torch.device(device)
    voxels = _Voxels(signals, unweighted, directions, gradients, grid, levels, device)
    values = torch.as_tensor(grid.values, dtype=torch.float32, device=device)
    log_prior = torch.as_tensor(grid.log_prior, dtype=torch.float32, device=device)
    spread_out = np.linspace(0, len(signals) - 1, min(LEARNING_VOXELS, len(signals))).astype(int)
    for _ in range(LEARNING_ROUNDS):
        sums = voxels.over(spread_out, log_prior, lambda rows, probabilities: probabilities.sum(dim=0))
        total = torch.stack(list(sums)).sum(dim=0)
        log_prior = torch.log(total / total.sum() + 1e-9)
    maps = np.empty((len(signals), 3), dtype=np.float32)
    means = voxels.over(np.arange(len(signals)), log_prior, lambda rows, probabilities: (rows, probabilities @ values))
    with tqdm(total=len(signals), desc="NODDI", unit="voxel", disable=not progress) as bar:
        for rows, mean in means:
            maps[rows] = mean.cpu().numpy()
            bar.update(len(rows))
    return NoddiMaps(maps[:, 0], maps[:, 1], maps[:, 2], noise_sd)


class _Voxels:
    """Voxels with the dictionaries of their noise levels."""

    def __init__(
        self,
        signals: np.ndarray,
        unweighted: np.ndarray,
        directions: np.ndarray,
        gradients: Gradients,
        grid: TissueGrid,
        levels: np.ndarray,
        device: torch.device,
    ) -> None:
        self.signals, self.unweighted, self.directions = signals, unweighted, directions
        self.gradients, self.levels, self.device = gradients, levels, device
        b_values = [float(gradients.b_values[gradients.shell_of == shell].mean()) for shell in gradients.shells]
        self.dictionaries = {
            int(level): Dictionary(grid, b_values, 2.0 ** (level / LEVELS_PER_OCTAVE), device)
            for level in np.unique(levels)
        }
        self.at_once = max(16, ELEMENTS_AT_ONCE.get(device.type, 1 << 20) // len(grid.values))

    def over(self, rows: np.ndarray, log_prior: Tensor, use: Callable[[np.ndarray, Tensor], T]) -> Iterator[T]:
        """What `use` makes of some rows and `(rows, A)` how probable each tissue is in them; all rows in turn.

        On a CPU each thread takes rows of its own: parts of one small product in several threads would wait for each other.
        """
        jobs = [
            (dictionary, own[start : start + MOMENTS_AT_ONCE])
            for level, dictionary in self.dictionaries.items()
            for own in [rows[self.levels[rows] == level]]
            for start in range(0, len(own), MOMENTS_AT_ONCE)
        ]

        def work(job: tuple[Dictionary, np.ndarray]) -> list[T]:
            return [use(few, probabilities) for few, probabilities in self._posteriors(*job, log_prior)]

        if self.device.type != "cpu":
            for job in jobs:
                yield from work(job)
            return
        n_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with ThreadPool(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                for made in pool.imap(work, jobs):
                    yield from made
        finally:
            torch.set_num_threads(n_threads)

    @torch.no_grad()
    def _posteriors(
        self, dictionary: Dictionary, rows: np.ndarray, log_prior: Tensor
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        scale = np.maximum(self.unweighted[rows, None], 1e-30)
        signals = torch.as_tensor(self.signals[rows] / scale, dtype=torch.float32, device=self.device)
        fibres = torch.as_tensor(self.directions[rows], dtype=torch.float32, device=self.device)
        parts = [part.split(self.at_once) for part in moments(signals, fibres, self.gradients)]
        few = np.split(rows, range(self.at_once, len(rows), self.at_once))
        for some, with_signal, alone in zip(few, *parts, strict=True):
            yield some, dictionary.posterior(with_signal, alone, log_prior)


def estimate_noise(signals: np.ndarray, gradients: Gradients) -> float:
    """Standard deviation of the noise, in the units of the signals `(V, N)`.

    Raises:
        ValueError: if there are neither 20 directions in the lowest shell nor three volumes without weighting.
    """
    lowest = gradients.shell_of == gradients.shells[0]
    if lowest.sum() >= NOISE_DIRECTIONS:
        return noise_sd_of(signals[:, lowest], gradients.directions[lowest])
    n_b0 = int(gradients.is_b0.sum())
    if n_b0 < NOISE_B0:
        raise ValueError(
            f"Expected {NOISE_DIRECTIONS} directions in the lowest shell or {NOISE_B0} volumes without weighting to estimate the noise, got {gradients.words}."
        )
    return float(np.sqrt(np.median(signals[:, gradients.is_b0].var(axis=1, ddof=1)) / (1 - 2 / (9 * (n_b0 - 1))) ** 3))
