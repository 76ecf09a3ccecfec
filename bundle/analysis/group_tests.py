"""Do groups of participants differ in scores? Tests that relatives do not fool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2, false_discovery_control, ncx2, rankdata

from bundle.analysis.exchange import permuted_labels

POWER = 0.8
"""Chance to find what is called detectable."""


@dataclass(frozen=True)
class GroupTests:
    """Kruskal-Wallis tests of F scores over K groups, and of every pair of groups.

    Attributes:
        h: `(F,)` Kruskal-Wallis H, corrected for ties.
        p_chi2: `(F,)` by the chi-square distribution; too small if participants are related.
        p_values: `(F,)` by permutation: (b + 1) / (B + 1).
        p_max_t: `(F,)` of the largest H of all scores: any at 0.05 keeps the chance of one false finding at 5 %.
        q_values: `(F,)` Benjamini-Hochberg over the F permutation p-values.
        epsilon_squared: `(F,)` H / (N - 1): share of the ranks' variance between groups, 0 to 1.
        pairs: P pairs of groups.
        z: `(F, P)` Dunn's z, first group's mean rank less the second's.
        p_pairs: `(F, P)` by the same permutations.
        p_holm: `(F, P)` Holm's correction over the P pairs of a score.
        least_detectable: epsilon squared in the population that is found in four of five cohorts at p_max_t <= 0.05.
    """

    h: np.ndarray
    p_chi2: np.ndarray
    p_values: np.ndarray
    p_max_t: np.ndarray
    q_values: np.ndarray
    epsilon_squared: np.ndarray
    pairs: list[tuple[int, int]]
    z: np.ndarray
    p_pairs: np.ndarray
    p_holm: np.ndarray
    least_detectable: float


def group_tests(
    scores: np.ndarray, labels: np.ndarray, blocks: Sequence[np.ndarray], n_permutations: int, seed: int
) -> GroupTests:
    """Test scores over groups, by exchanging whole families.

    Args:
        scores: `(N, F)`, finite.
        labels: `(N,)` groups 0 .. K-1, two at least, each with a participant.
        blocks: see `exchangeable_families`.
        n_permutations: B.
        seed: of the permutations.

    Raises:
        ValueError: for one group, an empty one, or scores that are not finite.

    Source: Kruskal and Wallis (1952); Dunn (1964); Winkler et al. (2015), NeuroImage 123, 253-268, for whole-block
    exchange; Westfall and Young (1993) for the largest statistic; Phipson and Smyth (2010) for (b + 1) / (B + 1).
    """
    sizes = np.bincount(labels)
    if len(sizes) < 2 or (sizes == 0).any():
        raise ValueError(f"Expected two or more groups with a participant in each, got sizes {sizes.tolist()}.")
    if not np.isfinite(scores).all():
        raise ValueError("Scores must be finite.")
    ranks = standard_ranks(scores)
    pairs = list(combinations(range(len(sizes)), 2))
    h, z = _statistics(ranks, labels[None], sizes, pairs)
    h, z = h[0], z[0]
    # a permutation is as extreme if it is equal but for rounding
    at_least_h, at_least_z = h * (1 - 1e-6), np.abs(z) * (1 - 1e-6)
    extreme, extreme_pairs, permuted = np.zeros(len(h)), np.zeros(z.shape), []
    for many in permuted_labels(labels, blocks, n_permutations, seed):
        permuted_h, permuted_z = _statistics(ranks, many, sizes, pairs)
        extreme += (permuted_h >= at_least_h).sum(axis=0)
        extreme_pairs += (np.abs(permuted_z) >= at_least_z).sum(axis=0)
        permuted.append(permuted_h)
    by_chance = np.concatenate(permuted)
    p_values = (extreme + 1) / (n_permutations + 1)
    p_pairs = (extreme_pairs + 1) / (n_permutations + 1)
    largest = by_chance.max(axis=1)
    return GroupTests(
        h=h,
        p_chi2=chi2.sf(h, len(sizes) - 1),
        p_values=p_values,
        p_max_t=((largest[:, None] >= at_least_h).sum(axis=0) + 1) / (n_permutations + 1),
        q_values=false_discovery_control(p_values),
        epsilon_squared=h / (len(labels) - 1),
        pairs=pairs,
        z=z,
        p_pairs=p_pairs,
        p_holm=holm(p_pairs),
        least_detectable=least_detectable(by_chance, len(sizes), len(labels)),
    )


def standard_ranks(scores: np.ndarray) -> np.ndarray:
    """Mid-ranks of each column of `(N, F)` with mean 0 and a variance (of N - 1) of 1; zero if all are alike."""
    ranks = rankdata(scores, axis=0)
    ranks -= ranks.mean(axis=0)
    deviations = ranks.std(axis=0, ddof=1)
    return (ranks / np.where(deviations > 0, deviations, 1)).astype(np.float32)


def _statistics(
    ranks: np.ndarray, labels: np.ndarray, sizes: np.ndarray, pairs: Sequence[tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """H `(B, F)` and Dunn's z `(B, F, P)` of B labellings `(B, N)`, by one matrix product."""
    n_groups = len(sizes)
    member = (labels[:, None, :] == np.arange(n_groups)[:, None]).astype(np.float32)
    means = (member.reshape(-1, labels.shape[1]) @ ranks).reshape(len(labels), n_groups, -1) / sizes[:, None]
    h = np.einsum("bkf,k->bf", np.square(means), sizes.astype(np.float32))
    first, second = np.array(pairs).T
    z = (means[:, first] - means[:, second]) / np.sqrt(1 / sizes[first] + 1 / sizes[second])[:, None]
    return h, z.transpose(0, 2, 1)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down correction along the last axis.

    Source: Holm (1979), Scandinavian Journal of Statistics 6, 65-70.
    """
    order = np.argsort(p_values, axis=-1)
    count = p_values.shape[-1]
    stepped = np.take_along_axis(p_values, order, axis=-1) * np.arange(count, 0, -1)
    stepped = np.minimum(np.maximum.accumulate(stepped, axis=-1), 1)
    corrected = np.empty_like(stepped)
    np.put_along_axis(corrected, order, stepped, axis=-1)
    return corrected


def least_detectable(by_chance: np.ndarray, n_groups: int, n_people: int) -> float:
    """Epsilon squared in the population that is found in four of five cohorts, from H under permutation `(B, F)`.

    H is taken as a non-central chi-square, wider by as much as the permutations are (relatives make it so), and has to
    exceed the 95th percentile of the largest H of all scores.
    """
    freedom = n_groups - 1
    wider = max(float(by_chance.mean()) / freedom, 1e-6)
    critical = float(np.percentile(by_chance.max(axis=1), 95)) / wider

    def missing_power(shift: float) -> float:
        return float(ncx2.sf(critical, freedom, shift)) - POWER

    shift = brentq(missing_power, 1e-9, 1e4)
    return min(1.0, wider * shift / (n_people - 1))
