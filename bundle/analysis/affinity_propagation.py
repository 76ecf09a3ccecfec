"""Affinity propagation in float32 and in place, for a few hundred to tens of thousands of participants."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from bundle.analysis.affinity_messages import Messages


@dataclass(frozen=True)
class Clustering:
    """What affinity propagation found.

    Attributes:
        labels: `(N,)` integers 0 .. K-1, in the order of the exemplars' rows.
        exemplars: `(K,)` rows of the participants who stand for their cluster.
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
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> Clustering:
    """Cluster points around exemplars by passing messages; similarity is minus the squared Euclidean distance.

    The labels are those of scikit-learn's `AffinityPropagation` (ties aside: nothing random is added to break them).
    One sweep over blocks of rows updates availabilities from the column sums of the previous sweep and adds up the next
    ones. In large cohorts similarities and availabilities are the only matrices: 8 bytes per pair of participants, against
    scikit-learn's 32.

    Args:
        points: `(N, D)`; centre them, so that float32 distances are exact to 1e-6 of their spread.
        preference: similarity of a point with itself; lower gives fewer clusters.
        damping: how much of the old messages to keep, in [0.5, 1).
        max_iterations: sweeps at most.
        device: where the messages are.
        progress: show a bar.

    Raises:
        ValueError: for fewer than two points, values that are not finite, or a damping out of range.

    Source: Frey and Dueck (2007), Science 315, 972-976; convergence and the final choice of exemplars as scikit-learn.
    """
    if not 0.5 <= damping < 1:
        raise ValueError(f"Expected a damping in [0.5, 1), got {damping}.")
    to_settle = sweeps_to_settle(damping)
    messages = Messages(points, preference, damping, device)
    decisions = torch.zeros(to_settle, messages.n_points, dtype=torch.bool, device=messages.device)
    converged = False
    iteration = 0
    for iteration in tqdm(range(max_iterations), desc="Affinity propagation", disable=not progress):
        messages.sweep()
        decisions[iteration % to_settle] = messages.self_availability + messages.self_responsibility > 0
        if iteration >= to_settle:
            votes = decisions.sum(dim=0)
            settled = bool(((votes == 0) | (votes == to_settle)).all())
            if settled and bool(votes.any()):
                converged = True
                break
    is_exemplar = decisions[iteration % to_settle]
    exemplars, labels = _assign(messages.points, torch.nonzero(is_exemplar)[:, 0])
    return Clustering(labels.cpu().numpy(), exemplars.cpu().numpy(), converged, iteration + 1)


def sweeps_to_settle(damping: float) -> int:
    """After so many sweeps with the same exemplars they count as settled: less than 1 % of an old message is left.

    15 at least, which is scikit-learn's number; it is too small for a damping of 0.9, where exemplars that merely pass by
    would be taken for the answer.
    """
    return max(15, math.ceil(5 / (1 - damping)))


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
