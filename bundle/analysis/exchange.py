"""Whole families take each other's place: permutations that relatives do not fool."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

VALUES_AT_ONCE = 5_000_000
"""Participants times groups (or draws) that are held at a time."""


def exchangeable_families(
    families: Sequence[object] | np.ndarray, kinds: Sequence[object] | np.ndarray | None = None
) -> list[np.ndarray]:
    """Families that may take each other's place: those of one size and one make-up.

    Args:
        families: N labels.
        kinds: per participant what tells members of a family apart, such as zygosity; None if nothing does.

    Returns:
        An array `(n_families, n_members)` of rows per kind of family. Members are in the order of their kind, so that
        a twin takes the place of a twin.
    """
    names = np.asarray(families, dtype=str)
    roles = (
        np.zeros(len(names), dtype=int) if kinds is None else np.unique(np.asarray(kinds, str), return_inverse=True)[1]
    )
    order = np.lexsort((roles, names))
    starts = np.flatnonzero(np.r_[True, names[order][1:] != names[order][:-1]])
    alike: dict[tuple[int, ...], list[np.ndarray]] = {}
    for members in np.split(order, starts[1:]):
        alike.setdefault(tuple(roles[members].tolist()), []).append(members)
    return [np.array(group) for group in alike.values()]


def share_fixed(blocks: Sequence[np.ndarray], labels: np.ndarray | None = None) -> float:
    """Share of participants whom no permutation moves: their family is the only one of its kind.

    Args:
        blocks: see `exchangeable_families`.
        labels: `(N,)` what is exchanged; families of a kind that all carry the same then count too, as nothing changes
            when they take each other's place.
    """
    fixed = [
        block
        for block in blocks
        if len(block) == 1 or (labels is not None and bool((labels[block] == labels[block[0]]).all()))
    ]
    return sum(block.size for block in fixed) / sum(block.size for block in blocks)


def permuted_labels(
    labels: np.ndarray, blocks: Sequence[np.ndarray], n_permutations: int, seed: int
) -> Iterator[np.ndarray]:
    """Labels with whole families exchanged, some permutations `(b, N)` at a time."""
    rng = np.random.default_rng(seed)
    small = labels.astype(np.int16)
    at_once = max(1, VALUES_AT_ONCE // (len(labels) * (int(labels.max()) + 1)))
    for start in range(0, n_permutations, at_once):
        count = min(at_once, n_permutations - start)
        many = np.tile(small, (count, 1))
        for block in blocks:
            if len(block) > 1:
                order = rng.permuted(np.tile(np.arange(len(block)), (count, 1)), axis=1)
                many[:, block.ravel()] = small[block][order].reshape(count, -1)
        yield many
