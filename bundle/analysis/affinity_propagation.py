"""Affinity propagation in float32 and in place, for a few hundred to tens of thousands of people."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

CACHED_BYTES = 400e6
"""Similarities are kept if they are smaller than this; otherwise each block is computed again in every sweep."""
BLOCK_BYTES = 2e6
"""What a block of rows may take, so that all passes over it stay in the cache."""


@dataclass(frozen=True)
class Clustering:
    """What affinity propagation found.

    Attributes:
        labels: `(N,)` integers 0 .. K-1, in the order of the exemplars' rows.
        exemplars: `(K,)` rows of the people who stand for their cluster.
        converged: False if exemplars still changed at the last iteration; do not use such labels.
        n_iterations: sweeps made.
    """

    labels: np.ndarray
    exemplars: np.ndarray
    converged: bool
    n_iterations: int

    @property
    def n_clusters(self) -> int:
        """K."""
        return len(self.exemplars)


@torch.inference_mode()
def affinity_propagation(
    points: np.ndarray,
    preference: float,
    damping: float = 0.7,
    max_iterations: int = 500,
    convergence_iterations: int | None = None,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> Clustering:
    """Cluster points around exemplars by passing messages; similarity is minus the squared Euclidean distance.

    The labels are those of scikit-learn's `AffinityPropagation` (ties aside: nothing random is added to break them).
    One sweep over the rows updates availabilities from the column sums of the previous sweep, then responsibilities,
    and adds up the next column sums, so two float32 matrices are all that is kept: 8 bytes per pair of people, against
    scikit-learn's 32.

    Args:
        points: `(N, D)`; centre them, so that float32 distances are exact to 1e-6 of their spread.
        preference: similarity of a point with itself; lower gives fewer clusters.
        damping: how much of the old messages to keep, in [0.5, 1).
        max_iterations: sweeps at most.
        convergence_iterations: stop when the exemplars have been the same for so many sweeps; None: see
            `sweeps_to_settle`. scikit-learn's 15 are too few for a damping of 0.9: exemplars that merely pass by are
            taken for the answer.
        device: where the messages are.
        progress: show a bar.

    Raises:
        ValueError: for fewer than two points, values that are not finite, or a damping out of range.

    Source: Frey and Dueck (2007), Science 315, 972-976; convergence and the final choice of exemplars as scikit-learn.
    """
    if not 0.5 <= damping < 1:
        raise ValueError(f"Expected a damping in [0.5, 1), got {damping}.")
    if convergence_iterations is None:
        convergence_iterations = sweeps_to_settle(damping)
    messages = _Messages(points, preference, damping, device)
    decisions = torch.zeros(convergence_iterations, messages.n_points, dtype=torch.bool, device=messages.device)
    converged = False
    iteration = 0
    for iteration in tqdm(range(max_iterations), desc="Affinity propagation", disable=not progress):
        messages.sweep()
        decisions[iteration % convergence_iterations] = messages.self_availability + messages.self_responsibility > 0
        if iteration >= convergence_iterations:
            votes = decisions.sum(dim=0)
            settled = bool(((votes == 0) | (votes == convergence_iterations)).all())
            if settled and bool(votes.any()):
                converged = True
                break
    is_exemplar = decisions[iteration % convergence_iterations]
    exemplars, labels = _assign(messages.points, torch.nonzero(is_exemplar)[:, 0])
    return Clustering(labels.cpu().numpy(), exemplars.cpu().numpy(), converged, iteration + 1)


def sweeps_to_settle(damping: float) -> int:
    """Sweeps after which less than 1 % of an old message is left, and 15 at least."""
    return max(15, math.ceil(5 / (1 - damping)))


class _Messages:
    """Availabilities and responsibilities of all pairs, updated block by block of rows."""

    def __init__(self, points: np.ndarray, preference: float, damping: float, device: str | torch.device) -> None:
        if points.ndim != 2 or len(points) < 2:
            raise ValueError(f"Expected two or more points as rows, got an array of shape {points.shape}.")
        if not np.isfinite(points).all():
            raise ValueError("Points must be finite.")
        self.device = torch.device(device)
        self.points = torch.as_tensor(points, dtype=torch.float32, device=self.device)
        self.preference, self.keep = preference, damping
        self.n_points = n_points = len(points)
        self.availability = _zeros(n_points, n_points, self.device)
        self.responsibility = _zeros(n_points, n_points, self.device)
        self.self_availability = torch.zeros(n_points, device=self.device)
        self.self_responsibility = torch.zeros(n_points, device=self.device)
        self.support = torch.zeros(n_points, device=self.device)
        """Sum of positive responsibilities that others send to each point."""
        self._squares = self.points.square().sum(dim=1)
        rows = min(n_points, max(1, int(BLOCK_BYTES / 4 / n_points)))
        self.blocks = [(start, min(start + rows, n_points)) for start in range(0, n_points, rows)]
        self._work = _zeros(rows, n_points, self.device)
        self._similarity = _zeros(n_points if 4 * n_points**2 < CACHED_BYTES else rows, n_points, self.device)
        if self._is_cached:
            for start, stop in self.blocks:
                self._fill_similarity(start, stop)
        self._is_first = True

    @property
    def _is_cached(self) -> bool:
        return len(self._similarity) == self.n_points

    def _fill_similarity(self, start: int, stop: int) -> Tensor:
        """Similarities of some rows up to a constant in each row, which leaves all messages as they are."""
        block = self._similarity[start:stop] if self._is_cached else self._similarity[: stop - start]
        torch.addmm(-self._squares, self.points[start:stop], self.points.T, alpha=2, out=block)
        block.diagonal(start).copy_(self._squares[start:stop] + self.preference)
        return block

    def sweep(self) -> None:
        """One iteration of both messages."""
        support = torch.zeros_like(self.support)
        # availability to i of k: min(0, own responsibility of k + support of k by others than i)
        total = self.self_responsibility + self.support
        step = 1 - self.keep
        for start, stop in self.blocks:
            similarity = self._similarity[start:stop] if self._is_cached else self._fill_similarity(start, stop)
            availability, responsibility = self.availability[start:stop], self.responsibility[start:stop]
            work = self._work[: stop - start]
            if not self._is_first:
                torch.clamp_min(responsibility, 0, out=work)
                torch.sub(total, work, out=work).clamp_max_(0)
                work.diagonal(start).copy_(self.support[start:stop])
                availability.lerp_(work, step)
            torch.add(availability, similarity, out=work)
            where = _row_argmax(work)
            best = work.gather(1, where)
            second = work.scatter_(1, where, -torch.inf).amax(dim=1, keepdim=True)
            responsibility.lerp_(similarity, step).sub_(best * step)
            responsibility.scatter_add_(1, where, (best - second) * step)
            self.self_responsibility[start:stop] = responsibility.diagonal(start)
            support += torch.clamp_min(responsibility, 0, out=work).sum(dim=0)
        self.support = support.sub_(self.self_responsibility.clamp_min(0))
        self.self_availability.lerp_(self.support, step)
        self._is_first = False


def _zeros(rows: int, columns: int, device: torch.device) -> Tensor:
    """Zeros that lie in huge pages on a CPU: numpy asks for them, torch does not, and small pages halve the speed."""
    if device.type == "cpu":
        return torch.from_numpy(np.zeros((rows, columns), dtype=np.float32))
    return torch.zeros(rows, columns, device=device)


def _row_argmax(matrix: Tensor) -> Tensor:
    """Column of the largest value of each row, `(N, 1)`; numpy's on the CPU, where torch's is ten times slower."""
    if matrix.device.type == "cpu":
        return torch.from_numpy(matrix.numpy().argmax(axis=1))[:, None]
    return matrix.argmax(dim=1, keepdim=True)


def negative_squared_distances(rows: Tensor, columns: Tensor) -> Tensor:
    """`(N, D)` and `(K, D)` to `(N, K)`, zero at most."""
    squares = rows.square().sum(dim=1, keepdim=True), columns.square().sum(dim=1)
    return torch.addmm(-squares[1], rows, columns.T, alpha=2).sub_(squares[0]).clamp_max_(0)


def _assign(points: Tensor, exemplars: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest exemplar of each point, after moving each exemplar to the point its cluster is most similar to."""
    labels = _nearest(points, exemplars)
    refined = []
    for cluster in range(len(exemplars)):
        members = torch.nonzero(labels == cluster)[:, 0]
        own = points[members]
        # sum of squared distances from each member to all, without the matrix of pairs
        cost = len(own) * own.square().sum(dim=1) - 2 * own @ own.sum(dim=0)
        refined.append(members[cost.argmin()])
    exemplars = torch.stack(refined).sort().values if refined else exemplars
    return exemplars, _nearest(points, exemplars)


def _nearest(points: Tensor, exemplars: Tensor) -> Tensor:
    if not len(exemplars):
        return torch.zeros(len(points), dtype=torch.long, device=points.device)
    rows = max(1, int(50e6 / 4 / len(exemplars)))
    parts = points.split(rows)
    labels = torch.cat([negative_squared_distances(part, points[exemplars]).argmax(dim=1) for part in parts])
    labels[exemplars] = torch.arange(len(exemplars), device=points.device)
    return labels


def preference_range(points: np.ndarray) -> tuple[float, float]:
    """Preferences between which the number of clusters goes from one to the number of points.

    The lower end is where a second cluster begins to pay: the net similarity of the best single exemplar minus that of
    the best pair. The pair is found by turns, each time the best partner of the other one; a search of all pairs would
    take a matrix of all triples. The upper end is the largest similarity of two people.

    Args:
        points: `(N, D)`, two or more.

    Source: Frey and Dueck's `preferenceRange`.
    """
    tensor = torch.as_tensor(points, dtype=torch.float32)
    rows = max(1, int(50e6 / 4 / len(tensor)))
    starts = range(0, len(tensor), rows)

    def net_similarity_with(other: Tensor) -> Tensor:
        blocks = (negative_squared_distances(tensor[start : start + rows], tensor) for start in starts)
        return torch.cat([torch.maximum(block, other).double().sum(dim=1) for block in blocks])

    single = net_similarity_with(torch.tensor(-torch.inf))
    first = int(single.argmax())
    pair = -torch.inf
    while True:
        net = net_similarity_with(negative_squared_distances(tensor[first : first + 1], tensor))
        net[first] = -torch.inf
        if float(net.max()) <= pair:
            break
        first, pair = int(net.argmax()), float(net.max())
    largest = -torch.inf
    for start in starts:
        block = negative_squared_distances(tensor[start : start + rows], tensor)
        block.diagonal(start).fill_(-torch.inf)
        largest = max(largest, float(block.max()))
    return float(single.max()) - pair, largest
