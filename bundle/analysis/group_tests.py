"""Do groups of people differ in scores? Tests that relatives do not fool."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2, false_discovery_control, ncx2, rankdata

VALUES_AT_ONCE = 5_000_000
"""People times groups (or draws) that are held at a time."""


@dataclass(frozen=True)
class GroupTests:
    """Kruskal-Wallis tests of F scores over K groups, and of every pair of groups.

    Attributes:
        h: `(F,)` Kruskal-Wallis H, corrected for ties.
        p_chi2: `(F,)` by the chi-square distribution; too small if people are related.
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
        labels: `(N,)` groups 0 .. K-1, two at least, each with somebody.
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
        raise ValueError(f"Expected two or more groups with somebody in each, got sizes {sizes.tolist()}.")
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


def exchangeable_families(
    families: Sequence[object] | np.ndarray, kinds: Sequence[object] | np.ndarray | None = None
) -> list[np.ndarray]:
    """Families that may take each other's place: those of one size and one make-up.

    Args:
        families: N labels.
        kinds: per person what tells members of a family apart, such as zygosity; None if nothing does.

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
    """Share of people whom no permutation moves: their family is the only one of its kind.

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


def least_detectable(by_chance: np.ndarray, n_groups: int, n_people: int, power: float = 0.8) -> float:
    """Epsilon squared in the population that would be found with a given chance, from H under permutation `(B, F)`.

    H is taken as a non-central chi-square, wider by as much as the permutations are (relatives make it so), and has to
    exceed the 95th percentile of the largest H of all scores.
    """
    freedom = n_groups - 1
    wider = max(float(by_chance.mean()) / freedom, 1e-6)
    critical = float(np.percentile(by_chance.max(axis=1), 95)) / wider

    def missing_power(shift: float) -> float:
        return float(ncx2.sf(critical, freedom, shift)) - power

    shift = brentq(missing_power, 1e-9, 1e4)
    return min(1.0, wider * shift / (n_people - 1))


def epsilon_squared_intervals(
    scores: np.ndarray, labels: np.ndarray, families: Sequence[object] | np.ndarray, n_draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of epsilon squared, `(F,)` low and high; whole families are drawn with replacement.

    A sample's epsilon squared is too high, the more groups the more: about as much as that of the draws is above the
    sample's. The interval is moved by both, so that it is one of what the population has.

    Args:
        scores: `(N, F)`.
        labels: `(N,)` groups 0 .. K-1.
        families: N labels.
        n_draws: bootstrap cohorts.
        seed: of the draws.
    """
    family_of, counts = family_draws(families, n_draws, seed)
    at_once = max(1, VALUES_AT_ONCE // (10 * len(labels)))
    observed = np.array([weighted_epsilon_squared(column, labels, np.ones((1, len(labels))))[0] for column in scores.T])
    drawn = np.empty((n_draws, scores.shape[1]))
    for start in range(0, n_draws, at_once):
        weights = counts[start : start + at_once, family_of].astype(float)
        for number, column in enumerate(scores.T):
            drawn[start : start + at_once, number] = weighted_epsilon_squared(column, labels, weights)
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0) - 2 * (drawn.mean(axis=0) - observed)
    return np.clip(low, 0, 1), np.clip(high, 0, 1)


def family_draws(families: Sequence[object] | np.ndarray, n_draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap cohorts of whole families.

    Returns:
        The family of each person, `(N,)` numbers 0 .. G-1, and how often each family is in each cohort, `(n_draws, G)`.
    """
    family_of = np.unique(np.asarray(families, dtype=str), return_inverse=True)[1]
    n_families = family_of.max() + 1
    counts = np.random.default_rng(seed).multinomial(n_families, np.full(n_families, 1 / n_families), size=n_draws)
    return family_of, counts


def weighted_epsilon_squared(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Epsilon squared of one score `(N,)` in cohorts where people stand several times: `(B, N)` to `(B,)`."""
    order = np.argsort(scores, kind="stable")
    weights, labels = weights[:, order], labels[order]
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    tied = np.add.reduceat(weights, starts, axis=1)
    middles = np.cumsum(tied, axis=1) - tied / 2
    ranks = np.repeat(middles, np.diff(np.r_[starts, len(scores)]), axis=1)
    ranks -= weights.sum(axis=1, keepdims=True) / 2
    member = (labels[:, None] == np.arange(labels.max() + 1)).astype(float)
    weighted = weights * ranks
    sums, sizes = weighted @ member, weights @ member
    between = np.divide(np.square(sums), sizes, out=np.zeros_like(sums), where=sizes > 0).sum(axis=1)
    total = (weighted * ranks).sum(axis=1)
    return np.divide(between, total, out=np.zeros_like(between), where=total > 0)


def group_means(
    scores: np.ndarray, labels: np.ndarray, families: Sequence[object] | np.ndarray, n_draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean score of each group with its 95 % interval over families drawn with replacement, each `(K, F)`."""
    family_of, counts = family_draws(families, n_draws, seed)
    n_families, n_groups = counts.shape[1], int(labels.max()) + 1
    # sums of each family in each group: a cohort of families needs no more
    cell = family_of * n_groups + labels
    sizes = np.bincount(cell, minlength=n_families * n_groups).reshape(n_families, n_groups)
    sums = np.stack([np.bincount(cell, column, n_families * n_groups) for column in scores.T], axis=-1)
    sums = sums.reshape(n_families, n_groups, -1)
    means = sums.sum(axis=0) / sizes.sum(axis=0)[:, None]
    low, high = np.empty_like(means), np.empty_like(means)
    for group in range(n_groups):
        drawn_sizes = counts @ sizes[:, group]
        has_any = drawn_sizes > 0
        drawn = (counts[has_any] @ sums[:, group]) / drawn_sizes[has_any, None]
        low[group], high[group] = np.percentile(drawn, [2.5, 97.5], axis=0)
    return means, low, high
