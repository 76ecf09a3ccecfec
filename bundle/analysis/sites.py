"""Where participants were scanned, and whether what a site does can be told from who its participants are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bundle.analysis.covariates import MIN_LEVEL
from bundle.data.problems import InputProblems

MIN_SITE = MIN_LEVEL
"""Participants of a site at least: a mean and a spread have to be told from what these participants are like."""
LEAST_FAMILIES = 5
"""Of a site, so that it can be told from what a family is like, and most of five folds of families have a participant of it."""


@dataclass(frozen=True)
class Sites:
    """Where participants were scanned, and what of them harmonising must not take away.

    Attributes:
        labels: N names of sites, as text; the series is named after their column.
        kept: N rows of covariates, such as age and sex; it may have no columns.
    """

    labels: pd.Series
    kept: pd.DataFrame

    def part(self, rows: np.ndarray) -> Sites:
        """Some of the participants."""
        return Sites(self.labels.iloc[rows], self.kept.iloc[rows])

    @property
    def indicators(self) -> np.ndarray:
        """`(N, S - 1)`, one column per site but the first."""
        names = self.labels.to_numpy(dtype=str)
        return (names[:, None] == np.unique(names)[1:]).astype(float)


def check_sites(labels: pd.Series) -> None:
    """Refuse sites that a mean and a spread cannot be had of.

    Args:
        labels: N sites, named after their column.

    Raises:
        InputProblems: for participants without a site, one site only, and sites of fewer than 10 participants.
    """
    column = labels.name
    problems = [f"{person}: no {column}." for person in labels.index[labels.isna()]]
    sizes = labels.value_counts()
    if len(sizes) < 2:
        problems.append(f"{column}: expected two sites or more, got {', '.join(sizes.index) or 'none'}.")
    problems += [
        f"{column} {name}: {count} {'participant' if count == 1 else 'participants'}; {MIN_SITE} are needed: leave them out, or "
        "name sites together whose scanner and protocol are the same."
        for name, count in sizes.sort_index().items()
        if count < MIN_SITE and len(sizes) > 1
    ]
    if problems:
        raise InputProblems("Sites", problems)


def check_not_confounded(people: Sites, design: np.ndarray) -> None:
    """Refuse covariates from which the site follows, or the other way round.

    Args:
        people: N.
        design: `(N, P)` terms of what is kept.

    Raises:
        InputProblems: if that is so.
    """
    terms = np.column_stack([np.ones(len(design)), people.indicators])
    both = np.column_stack([terms, design])
    if np.linalg.matrix_rank(both) < both.shape[1]:
        problem = (
            f"{people.labels.name} and {', '.join(map(str, people.kept))} say the same (one follows from the others), so what the "
            "scanner does cannot be told from what they do. No harmonising can fix that: analyse sites one by one."
        )
        raise InputProblems("Sites", [problem])
