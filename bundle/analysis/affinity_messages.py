"""The messages of affinity propagation: responsibilities and availabilities, passed block by block."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

SMALL_BYTES = 40e6
"""Responsibilities are kept as a matrix if it is smaller than this (3000 participants), and otherwise follow a formula."""
BLOCK_BYTES = 2e6
"""What a block of rows may take, so that all passes over it stay in the cache."""
FIRST_SLOTS = 8
"""Pairs of each row that there is room for at first."""


class Messages:
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
        # a participant's gain with himself has no use: the diagonal is kept apart
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
