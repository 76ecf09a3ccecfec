"""Can a participant's site be told from the embedding? By participants of other families, against what chance gives."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold
from sklearn.utils.extmath import randomized_svd

from bundle.analysis.combat_estimates import MOST_AXES, PEOPLE_PER_AXIS
from bundle.analysis.exchange import exchangeable_families, permuted_labels, share_fixed
from bundle.analysis.family_draws import family_draws
from bundle.analysis.partition import rows_for_choice
from bundle.analysis.sites import LEAST_FAMILIES

Treatment = Callable[[np.ndarray], np.ndarray]
"""From the rows `(n,)` of the participants it may learn from to all participants' embeddings `(N, E)`."""
N_FOLDS = 5
MOST_PEOPLE = 2000
"""More are not needed to see a site; whole families are drawn."""
MOST_FIXED = 0.5
"""Share of participants whom exchanging families leaves as they are, above which nothing is tested by it."""
CANNOT_EXCHANGE = "not tested by exchanging families, because family sizes differ between sites"
TAKEN_OUT = "not tested by exchanging families, because sites were regressed out of these embeddings"


@dataclass(frozen=True)
class SitePrediction:
    """How well sites are told from embeddings in one way of treating them.

    Attributes:
        accuracy: balanced: the mean over sites of the share of its participants who are found, 0 to 1.
        low: end of its 95 % interval, families drawn with replacement.
        high: the other end.
        chance_low: 2.5th percentile of the same with sites exchanged between families alike; NaN as p is.
        chance_high: 97.5th percentile.
        p_value: share of those at least as large, by (b + 1) / (B + 1); NaN where that tests nothing.
        recall: site -> the share of its participants who are found.
        untested: why there is no p; empty if there is one.
    """

    accuracy: float
    low: float
    high: float
    chance_low: float
    chance_high: float
    p_value: float
    recall: Mapping[str, float]
    untested: str = ""

    @property
    def chance(self) -> float:
        """One in the number of sites."""
        return 1 / len(self.recall)

    @property
    def is_above_chance(self) -> bool:
        """Whether the whole interval lies above one in the number of sites."""
        return self.low > self.chance


def families_per_site(labels: pd.Series, families: Sequence[object]) -> pd.Series:
    """Number of families that each site has a participant of."""
    return pd.Series(np.asarray(families), index=labels.index).groupby(labels).nunique()


def predictable_sites(labels: pd.Series, families: Sequence[object]) -> list[str]:
    """Sites with so many families that some can be left out; empty if there are not two of them."""
    counts = families_per_site(labels, families)
    names = sorted(map(str, counts.index[counts >= LEAST_FAMILIES]))
    return names if len(names) > 1 else []


def predict_sites(
    treatments: Mapping[str, Treatment],
    labels: pd.Series,
    families: Sequence[object],
    n_permutations: int = 999,
    n_draws: int = 1000,
    seed: int = 0,
    knowing_sites: Collection[str] = (),
) -> dict[str, SitePrediction]:
    """Tell participants' sites from their embeddings by a model of participants of other families.

    Ridge regression of sites on the principal axes of the embeddings (up to 50), their squares and the length of what the axes
    leave out, so that a site whose participants only spread more is seen too. Differences in mean and spread are all that it can
    see: not axes that are turned into each other, nor what a scanner does to the young otherwise than to the old. Treatment and regression are those of the other
    folds. A score is divided by its site's share of participants, so a large site is not guessed more often.

    Args:
        treatments: name -> embeddings, learned from the participants who are not held out. What is learned from all participants (site
            means regressed out of all participants, say) would make accuracy fall below chance.
        labels: N sites; NaN and sites that `predictable_sites` leaves out are not looked at.
        families: N labels; folds are of whole families, and families of one size exchange their sites for p. There is no
            p where that leaves more than half of the participants at their own site: pairs at one, only children at the other.
        n_permutations: of families.
        n_draws: bootstrap draws of families.
        seed: of folds, permutations and draws.
        knowing_sites: names of treatments that took sites out of the embeddings. They have no p: embeddings that were treated with the
            true sites are not exchangeable, and what exchanged sites give is about chance where theirs is below it.

    Returns:
        One for each treatment; empty if fewer than two sites can be tested.
    """
    sites = predictable_sites(labels, families)
    if not sites:
        return {}
    rows = np.flatnonzero(labels.isin(sites).to_numpy())
    family_of = pd.factorize(np.asarray(families)[rows])[0]
    few = rows_for_choice(family_of, MOST_PEOPLE, seed)
    rows, family_of = rows[few], family_of[few]
    site_of = np.searchsorted(sites, labels.iloc[rows].to_numpy(dtype=str))
    blocks = exchangeable_families(family_of)
    cannot_exchange = CANNOT_EXCHANGE if share_fixed(blocks, site_of) > MOST_FIXED else ""
    folds = list(GroupKFold(N_FOLDS, shuffle=True, random_state=seed).split(rows, groups=family_of))
    draws = family_draws(family_of, n_draws, seed)
    found = {}
    for name, treatment in treatments.items():
        untested = TAKEN_OUT if name in knowing_sites else cannot_exchange
        readers = [_Reader(treatment(rows[seen])[rows], seen, held_out, seed) for seen, held_out in folds]
        right = _right(readers, site_of[None], len(sites))[0]
        accuracy = _balanced(right[None], site_of[None], len(sites))[0]
        low, high = _interval(right, site_of, len(sites), *draws)
        chance_low = chance_high = p_value = np.nan
        if not untested:
            by_chance = [
                _balanced(_right(readers, many, len(sites)), many, len(sites))
                for many in permuted_labels(site_of, blocks, n_permutations, seed)
            ]
            permuted = np.concatenate(by_chance)
            chance_low, chance_high = np.percentile(permuted, [2.5, 97.5])
            p_value = (np.sum(permuted >= accuracy - 1e-12) + 1) / (n_permutations + 1)
        found[name] = SitePrediction(
            accuracy=float(accuracy),
            low=low,
            high=high,
            chance_low=float(chance_low),
            chance_high=float(chance_high),
            p_value=float(p_value),
            recall={site: float(right[site_of == number].mean()) for number, site in enumerate(sites)},
            untested=untested,
        )
    return found


class _Reader:
    """Ridge regression of one fold, ready for any labels: its predictors know nothing of them.

    Args:
        codes: `(N, E)`.
        seen: rows to learn from.
        held_out: rows to tell the site of.
        seed: of the principal axes.
    """

    def __init__(self, codes: np.ndarray, seen: np.ndarray, held_out: np.ndarray, seed: int) -> None:
        self.seen, self.held_out = seen, held_out
        centred = codes - codes.mean(axis=0)
        n_axes = max(1, min(MOST_AXES, len(seen) // PEOPLE_PER_AXIS, codes.shape[1]))
        # axes of all participants, which no site has a part in: those of some fit these better than the participants held out, whose
        # squares would then be too small
        axes = randomized_svd(centred, n_axes, random_state=seed)[2].T
        scores = centred @ axes
        outside = np.sqrt(np.maximum(np.square(centred).sum(axis=1) - np.square(scores).sum(axis=1), 0))
        scores = _standardised(np.column_stack([scores, outside]))
        predictors = np.hstack([scores, _standardised(scores[:, :-1] ** 2)])
        own = predictors[seen]
        # the penalty of as many participants as there are predictors: half of a lone predictor's weight at one participant each
        penalty = own.shape[1] * np.eye(own.shape[1])
        self._solve = np.linalg.solve(own.T @ own + penalty, own.T)
        self._new = predictors[held_out]

    def told(self, labels: np.ndarray, n_sites: int) -> np.ndarray:
        """Sites `(B, n)` of the participants held out, for labellings `(B, N)` of all participants."""
        member = (labels[:, self.seen, None] == np.arange(n_sites)).astype(float)
        shares = member.mean(axis=1)
        targets = (member - shares[:, None]).transpose(1, 0, 2)
        weights = self._solve @ targets.reshape(len(self.seen), -1)
        scores = (self._new @ weights).reshape(len(self.held_out), *shares.shape)
        likely = np.divide(scores, shares, out=np.full_like(scores, -np.inf), where=shares > 0)
        return likely.argmax(axis=2).T


def _standardised(values: np.ndarray) -> np.ndarray:
    deviations = values.std(axis=0)
    return (values - values.mean(axis=0)) / np.where(deviations > 0, deviations, 1)


def _right(readers: Sequence[_Reader], labels: np.ndarray, n_sites: int) -> np.ndarray:
    """Whose site is told right, `(B, N)` of labellings `(B, N)`."""
    right = np.zeros(labels.shape, dtype=bool)
    for reader in readers:
        right[:, reader.held_out] = reader.told(labels, n_sites) == labels[:, reader.held_out]
    return right


def _balanced(right: np.ndarray, labels: np.ndarray, n_sites: int) -> np.ndarray:
    """Balanced accuracy `(B,)`."""
    shares = [(right & (labels == site)).sum(axis=1) / (labels == site).sum(axis=1) for site in range(n_sites)]
    return np.mean(shares, axis=0)


def _interval(
    right: np.ndarray, labels: np.ndarray, n_sites: int, family_of: np.ndarray, counts: np.ndarray
) -> tuple[float, float]:
    """95 % interval of balanced accuracy over families drawn with replacement."""
    shares = []
    for site in range(n_sites):
        own = (labels == site).astype(float)
        people, found = counts @ np.bincount(family_of, own), counts @ np.bincount(family_of, own * right)
        shares.append(np.divide(found, people, out=np.full(len(counts), np.nan), where=people > 0))
    low, high = np.nanpercentile(np.nanmean(shares, axis=0), [2.5, 97.5])
    return float(low), float(high)
