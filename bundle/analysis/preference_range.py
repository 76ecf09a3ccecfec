"""Which preferences of affinity propagation are worth a try."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.distance import pdist
from torch import Tensor

from bundle.analysis.affinity_propagation import negative_squared_distances


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


def median_similarity(points: np.ndarray) -> float:
    """Median of minus the squared distances of different people, from at most 2000 of them."""
    few = points[:: -(-len(points) // 2000)]
    return -float(np.median(pdist(few, "sqeuclidean")))
