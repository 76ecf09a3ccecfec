"""Affinity propagation in float32 and in place, for a few hundred to tens of thousands of people."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

SMALL_BYTES = 40e6
"""Responsibilities are kept as a matrix if it is smaller than this (3000 people), and otherwise follow a formula."""
BLOCK_BYTES = 2e6
"""What a block of rows may take, so that all passes over it stay in the cache."""
FIRST_SLOTS = 8
"""Pairs of each row that there is room for at first."""


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
    One sweep over blocks of rows updates availabilities from the column sums of the previous sweep and adds up the next
    ones. In large cohorts similarities and availabilities are the only matrices: 8 bytes per pair of people, against
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
    """Availabilities of all pairs and, in small cohorts, their responsibilities; in large ones these follow a formula."""

    def __init__(self, points: np.ndarray, preference: float, damping: float, device: str | torch.device) -> None:
        if points.ndim != 2 or len(points) < 2:
            raise ValueError(f"Expected two or more points as rows, got an array of shape {points.shape}.")
        if not np.isfinite(points).all():
            raise ValueError("Points must be finite.")
        self.points = torch.as_tensor(points, dtype=torch.float32, device=device)
        self.keep = damping
        self.n_points = n_points = len(points)
        self.n_sweeps = 0
        self.availability = _zeros(n_points, n_points, self.device)
        self.self_availability, self.self_responsibility, self._total = (
            torch.zeros(n_points, device=self.device) for _ in range(3)
        )
        # similarities up to a constant in each row, which leaves all messages as they are
        self._squares = self.points.square().sum(dim=1)
        self._self_similarity = self._squares + preference
        height = min(n_points, max(1, int(BLOCK_BYTES / 4 / n_points)))
        self.blocks = [slice(start, min(start + height, n_points)) for start in range(0, n_points, height)]
        self._work = _zeros(height, n_points, self.device)
        kind = _StoredResponsibilities if 4 * n_points**2 < SMALL_BYTES else _ComputedResponsibilities
        self._responsibilities = kind(n_points, damping, self.device)
        # computing them again in each sweep, for half the memory, takes longer than all the rest of the sweep
        self._similarity = _zeros(n_points, n_points, self.device)
        for rows in self.blocks:
            block = self._similarity[rows]
            torch.addmm(-self._squares, self.points[rows], self.points.T, alpha=2, out=block)
            block.diagonal(rows.start).copy_(self._self_similarity[rows])

    @property
    def device(self) -> torch.device:
        return self.points.device

    def sweep(self) -> None:
        """One iteration of both messages."""
        step = 1 - self.keep
        support = torch.zeros_like(self._total)
        own_value = self.self_availability + self._self_similarity
        rivals = []
        for rows in self.blocks:
            similarity = self._similarity[rows]
            work = self._work[: len(similarity)]
            availability = self.availability[rows]
            if self.n_sweeps:
                # to i of k: min(0, own responsibility of k + support of k by others than i)
                self._responsibilities.positive(rows, similarity, self.n_sweeps, work)
                availability.lerp_(torch.sub(self._total, work, out=work).clamp_max_(0), step)
                availability.diagonal(rows.start).copy_(self.self_availability[rows])
            torch.add(availability, similarity, out=work)
            where = _row_argmax(work)
            best = work.gather(1, where)
            second = work.scatter_(1, where, -torch.inf).amax(dim=1, keepdim=True)
            rivals.append(torch.where(best[:, 0] == own_value[rows], second[:, 0], best[:, 0]))
            self._responsibilities.update(rows, similarity, where, best, second)
            self._responsibilities.positive(rows, similarity, self.n_sweeps + 1, work)
            work.diagonal(rows.start).zero_()
            support += work.sum(dim=0)
        self.n_sweeps += 1
        self.self_responsibility.lerp_(self._self_similarity - torch.cat(rivals), step)
        self._total = self.self_responsibility + support
        self.self_availability.lerp_(support, step)


class _StoredResponsibilities:
    """A matrix of all pairs: the fewest operations."""

    def __init__(self, n_points: int, keep: float, device: torch.device) -> None:
        self._step = 1 - keep
        self._values = _zeros(n_points, n_points, device)

    def positive(self, rows: slice, similarity: Tensor, n_updates: int, out: Tensor) -> None:
        """Responsibilities of some rows, or zero if they are less, after so many updates; meaningless on the diagonal."""
        torch.clamp_min(self._values[rows], 0, out=out)

    def update(self, rows: slice, similarity: Tensor, where: Tensor, best: Tensor, second: Tensor) -> None:
        """The best column of a row gets `similarity - second best`, every other one `similarity - best`."""
        values = self._values[rows].lerp_(similarity, self._step).sub_(best * self._step)
        values.scatter_add_(1, where, (best - second) * self._step)


class _ComputedResponsibilities:
    """The same values without the matrix, for half the memory and fewer passes over it.

    The damped responsibility of a pair is `(1 - keep^n) * similarity - row` after n updates, plus a gain for the pairs
    that were the best of their row at some time, a few for each row.
    """

    def __init__(self, n_points: int, keep: float, device: torch.device) -> None:
        self._keep = keep
        self._row = torch.zeros(n_points, 1, device=device)
        self._everyone = torch.arange(n_points, device=device)
        # columns of the pairs with a gain, (N, slots); a free slot names the row itself and has none
        self._partners = self._everyone[:, None].repeat(1, FIRST_SLOTS)
        self._gains = torch.zeros(self._partners.shape, device=device)
        self._used = torch.zeros_like(self._everyone)

    def positive(self, rows: slice, similarity: Tensor, n_updates: int, out: Tensor) -> None:
        """As `_StoredResponsibilities.positive`."""
        torch.add(-self._row[rows], similarity, alpha=1 - self._keep**n_updates, out=out)
        out.scatter_add_(1, self._partners[rows], self._gains[rows]).clamp_min_(0)

    def update(self, rows: slice, similarity: Tensor, where: Tensor, best: Tensor, second: Tensor) -> None:
        """As `_StoredResponsibilities.update`."""
        step = 1 - self._keep
        self._row[rows].lerp_(best, step)
        is_partner = self._partners[rows] == where
        new = torch.nonzero(~is_partner.any(dim=1))[:, 0]
        if len(new):
            self._give_slots(new + rows.start, where[new, 0])
            is_partner = self._partners[rows] == where
        # a person's gain with himself has no use: the diagonal is kept apart
        gains = step * (best - second) * (where != self._everyone[rows, None])
        self._gains[rows].mul_(self._keep).addcmul_(is_partner, gains)

    def _give_slots(self, rows: Tensor, partners: Tensor) -> None:
        if int(self._used[rows].max()) == self._partners.shape[1]:
            self._partners = torch.cat([self._partners, self._everyone[:, None].expand_as(self._partners)], dim=1)
            self._gains = torch.cat([self._gains, torch.zeros_like(self._gains)], dim=1)
        self._partners[rows, self._used[rows]] = partners
        self._used[rows] += 1


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
