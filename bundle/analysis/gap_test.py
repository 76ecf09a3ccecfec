"""Is there a gap between two clusters, whatever their sizes, or are they parts of a continuum?

On the line between two clusters, a density with one mode falls all the way from one of them to the other. Two Gaussian
groups would make it fall and rise again. Between where it falls to some level and where it comes back to it for good, the
flattest such density is uniform, and it is the hardest to tell from a gap: any other that only falls puts even more participants
where the gap should be. So participants in between are asked whether they lie as two groups would have them, or as by chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

N_POSITIONS = 800
FEWEST = 3
"""Participants in between and on either side, to say anything at all."""
NARROWEST = 0.05
"""Spread of a group at least, in distances of means: a density must not vanish in between."""
REACH = 4
"""Standard deviations beyond the farther mean that positions cover."""


@dataclass(frozen=True)
class Gap:
    """What the participants between two clusters say.

    Attributes:
        n_between: how many they are.
        score: sum of their log ratios, two groups against a uniform density, less what is expected of the latter.
        variance: of the score under the uniform density.
        expected: score of two Gaussian groups of this size and distance.
    """

    n_between: int
    score: float
    variance: float
    expected: float

    @property
    def depth(self) -> float:
        """0: flat as a continuum; 1: as deep as between two Gaussian groups; below 0: participants are most in the middle."""
        return self.score / self.expected

    @property
    def z_value(self) -> float:
        """Score in standard deviations of the uniform density."""
        return self.score / np.sqrt(self.variance)


def gap(positions: np.ndarray, is_second: np.ndarray) -> Gap | None:
    """Test for a gap along the line between two clusters.

    A density with one mode may fall from the first cluster to the second or the other way round: both must be unlikely,
    and the weaker of the two answers is given.

    Args:
        positions: `(N,)` along the line, of participants who had no part in fitting it.
        is_second: `(N,)` who is of the second cluster; no fewer than three of either.

    Returns:
        None if two such Gaussian groups would show no gap, or one that is no clearer than chance: there is nothing to see.
    """
    if min(is_second.sum(), (~is_second).sum()) < FEWEST:
        return None
    first, second = positions[~is_second].mean(), positions[is_second].mean()
    if second <= first:
        return None
    along = (positions - first) / (second - first)
    spreads = tuple(max(float(side.std()), NARROWEST) for side in (along[~is_second], along[is_second]))
    share = float(is_second.mean())
    falls = _falling(along, (1 - share, share), spreads)
    rises = _falling(1 - along, (share, 1 - share), spreads[::-1])
    if falls is None or rises is None:
        return None
    return min(falls, rises, key=lambda one: one.z_value)


def together(gaps: list[Gap]) -> Gap:
    """Several gaps as one, whose participants are those of all."""
    return Gap(
        sum(one.n_between for one in gaps),
        sum(one.score for one in gaps),
        sum(one.variance for one in gaps),
        sum(one.expected for one in gaps),
    )


def _falling(along: np.ndarray, shares: tuple[float, ...], spreads: tuple[float, ...]) -> Gap | None:
    """Against densities that fall from the first mean, at 0, to the second one, at 1."""
    hump = _hump(shares, spreads)
    if hump is None:
        return None
    places, density, level = hump
    between = along[(along >= places[0]) & (along <= places[-1])]
    if len(between) < FEWEST:
        return None
    ratio = np.log(density / level)
    by_chance = ratio.mean()
    score = float(np.interp(between, places, ratio).sum() - len(between) * by_chance)
    expected = len(between) * float(density @ ratio / density.sum() - by_chance)
    variance = len(between) * float(ratio.var())
    return Gap(len(between), score, variance, expected) if expected >= np.sqrt(variance) else None


def _hump(shares: tuple[float, ...], spreads: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Where the density of two groups dips and rises again: positions, density there, and the level that evens it out."""
    places = np.linspace(-0.5, 1 + REACH * spreads[1], N_POSITIONS)
    density = shares[0] * norm.pdf(places, 0, spreads[0]) + shares[1] * norm.pdf(places, 1, spreads[1])
    inside = np.flatnonzero((places > 0) & (places < 1))
    valley = int(inside[density[inside].argmin()])
    peak = valley + int(density[valley:].argmax())
    if valley == inside[0] or peak <= valley + 1:
        return None
    low, high = density[valley], min(density[peak], density[:valley].max())
    left, right = valley, peak
    for _ in range(40):
        level = (low + high) / 2
        left = int(np.flatnonzero(density[:valley] >= level)[-1])
        beyond = np.flatnonzero(density[peak:] < level)
        right = peak + int(beyond[0]) if len(beyond) else N_POSITIONS - 1
        if (density[left : right + 1] - level).sum() > 0:  # more participants than the level has room for
            low = level
        else:
            high = level
    part = slice(left, right + 1)
    return places[part], density[part], level
