"""Strata against phenotype factors: what differs, by how much, and what a cohort of this size could show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from bundle.analysis.covariates import is_number
from bundle.analysis.exchange import exchangeable_families
from bundle.analysis.group_effects import epsilon_squared_intervals, group_means
from bundle.analysis.group_tests import GroupTests, group_tests
from bundle.data.problems import InputProblems

RAW, PHENOTYPE_ADJUSTED, BOTH_ADJUSTED = "raw", "phenotype adjusted", "embedding and phenotype adjusted"
VALIDATION = "validation"
PRIMARY = BOTH_ADJUSTED
"""Declared before any test: the others show what covariates do."""

MOST_LEVELS = 20
NOT_GIVEN = "not given"
TEST_COLUMNS = [
    *("version", "factor", "name", "n_people", "n_strata", "h", "p_chi2", "p", "p_max_t", "q"),
    *("epsilon_squared", "low", "high", "least_detectable", "found"),
]
PAIR_COLUMNS = ["version", "factor", "name", "stratum_a", "stratum_b", "z", "p", "p_holm"]
PROFILE_COLUMNS = ["version", "factor", "name", "stratum", "n_people", "mean", "low", "high"]


@dataclass(frozen=True)
class TestSettings:
    """How factors are tested over strata.

    Args:
        n_permutations: of families; the least p is 1 / (n_permutations + 1).
        n_bootstrap: draws of families for intervals.
        significance: a factor differs if its q is at most this.
        least_members: strata of fewer participants are left out of the tests.
        seed: of permutations and draws.
    """

    __test__ = False  # pytest takes a name that starts with Test for tests

    n_permutations: int = 9999
    n_bootstrap: int = 2000
    significance: float = 0.05
    least_members: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"n_permutations": 19, "n_bootstrap": 50, "least_members": 1}
        problems = [
            f"{name}: expected {value} or more, got {getattr(self, name)}."
            for name, value in least.items()
            if getattr(self, name) < value
        ]
        if not 0 < self.significance < 1:
            problems.append(f"significance: expected a value between 0 and 1, got {self.significance}.")
        if problems:
            raise InputProblems("Phenotype settings", problems)


@dataclass(frozen=True)
class Comparison:
    """One version's tables, see the columns above; empty if there are no two strata to compare."""

    tests: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=TEST_COLUMNS))
    pairs: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=PAIR_COLUMNS))
    profile: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=PROFILE_COLUMNS))
    notes: tuple[str, ...] = ()


def compare(
    version: str,
    scores: np.ndarray,
    strata: np.ndarray,
    families: np.ndarray,
    kinds: np.ndarray | None,
    factors: Mapping[str, str],
    settings: TestSettings,
) -> Comparison:
    """Test every factor over strata.

    Args:
        version: what was adjusted, for the tables.
        scores: `(N, F)`.
        strata: `(N,)` numbers from 1.
        families: N labels.
        kinds: see `exchangeable_families`.
        factors: F ids -> names.
        settings: see there.
    """
    numbers, counts = np.unique(strata, return_counts=True)
    small = numbers[counts < settings.least_members]
    notes = tuple(
        f"{version}: stratum {number} has {count} participants and is left out of the tests ({settings.least_members} are needed)."
        for number, count in zip(numbers, counts, strict=True)
        if count < settings.least_members
    )
    kept = ~np.isin(strata, small)
    numbers = np.setdiff1d(numbers, small)
    if len(numbers) < 2:
        return Comparison(notes=(*notes, f"{version}: no two strata to compare."))
    scores, families = scores[kept], families[kept]
    labels = np.searchsorted(numbers, strata[kept])
    blocks = exchangeable_families(families, None if kinds is None else kinds[kept])
    found = group_tests(scores, labels, blocks, settings.n_permutations, settings.seed)
    low, high = epsilon_squared_intervals(scores, labels, families, settings.n_bootstrap, settings.seed)
    tests = pd.DataFrame(
        {
            "version": version,
            "factor": list(factors),
            "name": list(factors.values()),
            "n_people": len(scores),
            "n_strata": len(numbers),
            "h": found.h,
            "p_chi2": found.p_chi2,
            "p": found.p_values,
            "p_max_t": found.p_max_t,
            "q": found.q_values,
            "epsilon_squared": found.epsilon_squared,
            "low": low,
            "high": high,
            "least_detectable": found.least_detectable,
            "found": found.q_values <= settings.significance,
        }
    )
    means = group_means(scores - scores.mean(axis=0), labels, families, settings.n_bootstrap, settings.seed)
    return Comparison(
        tests,
        _pair_rows(tests, found, numbers),
        _profile_rows(tests, means, numbers, np.bincount(labels)),
        notes,
    )


def _pair_rows(tests: pd.DataFrame, found: GroupTests, numbers: np.ndarray) -> pd.DataFrame:
    """Every two strata, for the factors that differ."""
    rows = [
        {
            "version": factor.version,
            "factor": factor.factor,
            "name": factor.name,
            "stratum_a": numbers[first],
            "stratum_b": numbers[second],
            "z": found.z[row, pair],
            "p": found.p_pairs[row, pair],
            "p_holm": found.p_holm[row, pair],
        }
        for row, factor in enumerate(tests.itertuples(index=False))
        if factor.found
        for pair, (first, second) in enumerate(found.pairs)
    ]
    return pd.DataFrame(rows, columns=PAIR_COLUMNS)


def _profile_rows(
    tests: pd.DataFrame, means: tuple[np.ndarray, np.ndarray, np.ndarray], numbers: np.ndarray, sizes: np.ndarray
) -> pd.DataFrame:
    """Every factor's mean in every stratum, from `group_means`."""
    mean, low, high = means
    rows = [
        {
            "version": factor.version,
            "factor": factor.factor,
            "name": factor.name,
            "stratum": stratum,
            "n_people": int(sizes[label]),
            "mean": mean[label, row],
            "low": low[label, row],
            "high": high[label, row],
        }
        for row, factor in enumerate(tests.itertuples(index=False))
        for label, stratum in enumerate(numbers)
    ]
    return pd.DataFrame(rows, columns=PROFILE_COLUMNS)


def together(comparisons: Sequence[Comparison]) -> Comparison:
    """Several versions' tables, one below the other."""

    def stacked(tables: list[pd.DataFrame]) -> pd.DataFrame:
        filled = [table for table in tables if len(table)]
        return pd.concat(filled, ignore_index=True) if filled else tables[0]

    return Comparison(
        stacked([one.tests for one in comparisons]),
        stacked([one.pairs for one in comparisons]),
        stacked([one.profile for one in comparisons]),
        tuple(note for one in comparisons for note in one.notes),
    )


def people_of_strata(people: pd.DataFrame, strata: np.ndarray) -> tuple[pd.DataFrame, list[str]]:
    """Who is in each stratum: mean and spread of numbers, shares of words ("not given" is one). Descriptive.

    Args:
        people: N rows, a column per variable.
        strata: `(N,)` numbers from 1.

    Returns:
        Columns `variable`, `level` (empty for numbers), `stratum`, `n_people` (with a value), `mean`, `sd`; and the
        variables of more than 20 words, such as names, which are left out.
    """
    parts, skipped = [], []
    for variable, values in people.items():
        if not values.notna().any():
            continue
        if is_number(values):
            described = values.groupby(strata).agg(n_people="count", mean="mean", sd="std")
            parts.append(described.rename_axis("stratum").reset_index().assign(variable=variable, level=None))
        elif values.nunique() > MOST_LEVELS:
            skipped.append(str(variable))
        else:
            counts = pd.crosstab(strata, values.astype(str).where(values.notna(), NOT_GIVEN))
            shares = counts.div(counts.sum(axis=1), axis=0).rename_axis("stratum").rename_axis("level", axis=1)
            described = shares.stack().rename("mean").reset_index()
            n_people = counts.sum(axis=1).reindex(described["stratum"]).to_numpy()
            parts.append(described.assign(variable=variable, n_people=n_people, sd=np.nan))
    columns = ["variable", "level", "stratum", "n_people", "mean", "sd"]
    table = pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
    return table, skipped
