"""Take age, sex, head size and the like out of embeddings, by a model that new participants can be given to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bundle.data.problems import InputProblems

KNOTS = (0.05, 0.35, 0.65, 0.95)
"""Quantiles at which a spline may bend."""
MIN_LEVEL = 10
"""Participants of a category at least: fewer would be left with what tells them from each other only."""


@dataclass(frozen=True)
class CovariateModel:
    """Linear regression of each value on covariates; `adjust` takes out what they explain.

    Numbers enter standardised and squared, or as restricted cubic splines; words as one indicator per level but the first.

    Attributes:
        numbers: column -> mean, standard deviation, least and largest value of the participants it was fitted on, rounded outwards
            (`rounded_range`); then, if it is a spline, its knots in standard deviations.
        levels: column -> its words, sorted.
        coefficients: `(P, E)`, without the constant.
    """

    numbers: Mapping[str, tuple[float, ...]]
    levels: Mapping[str, tuple[str, ...]]
    coefficients: np.ndarray

    @classmethod
    def fit(cls, codes: np.ndarray, table: pd.DataFrame, splines: bool = False) -> CovariateModel:
        """Fit on participants' embeddings `(N, E)` and covariates (N rows, one column each), numbers squared or as splines.

        Raises:
            InputProblems: for missing values, constant columns, or too few participants.
        """
        problems = [
            f"{column}: no value for {_few(table.index[table[column].isna()])}"
            for column in table
            if table[column].isna().any()
        ]
        problems += [f"{column}: the same for all participants" for column in table if table[column].nunique() == 1]
        problems += [
            f"{column}: fewer than {MIN_LEVEL} participants have {_few(rare)}: join levels, or do without {column}"
            for column in table
            if not is_number(table[column])
            and (rare := sorted(level for level, n in table[column].value_counts().items() if n < MIN_LEVEL))
        ]
        problems += [
            f"{column}: fewer than {MIN_LEVEL} participants differ from {table[column].mode().iloc[0]:g}: do without {column}"
            for column in table
            if is_number(table[column])
            and table[column].nunique() > 1
            and (table[column] != table[column].mode().iloc[0]).sum() < MIN_LEVEL
        ]
        if problems:
            raise InputProblems("Covariates", [f"{problem}." for problem in problems])
        model = cls.fit_unchecked(codes, table, splines)
        n_terms = len(model.coefficients)
        if len(table) < 5 * n_terms:
            raise InputProblems(
                "Covariates",
                [
                    f"{len(table)} participants are too few to take out {n_terms} terms of {', '.join(map(str, table))}: "
                    "five per term are needed; name fewer in --covariates."
                ],
            )
        return model

    @classmethod
    def fit_unchecked(cls, codes: np.ndarray, table: pd.DataFrame, splines: bool = False) -> CovariateModel:
        """As `fit`, for a part of participants whom `fit` has taken."""
        numbers: dict[str, tuple[float, ...]] = {}
        levels = {}
        for column in table:
            values = table[column]
            if is_number(values):
                mean, deviation = float(values.mean()), float(values.std(ddof=0)) or 1.0
                numbers[str(column)] = (mean, deviation, *rounded_range(values, deviation))
                knots = np.quantile((values - mean) / deviation, KNOTS) if splines else []
                if len(np.unique(knots)) == len(KNOTS):  # a number of few values stays a square
                    numbers[str(column)] += tuple(map(float, knots))
            else:
                levels[str(column)] = tuple(sorted(values.astype(str).unique()))
        design = _design(table, numbers, levels)
        design = design - design.mean(axis=0)
        coefficients = np.linalg.lstsq(design, codes - codes.mean(axis=0), rcond=None)[0]
        return cls(numbers, levels, coefficients)

    def facts(self) -> dict[str, Any]:
        """What `stored` needs beside the coefficients, as JSON takes it."""
        return {"numbers": dict(self.numbers), "levels": dict(self.levels)}

    @classmethod
    def stored(cls, coefficients: np.ndarray, facts: Mapping[str, Any]) -> CovariateModel:
        """The model of these coefficients and `facts`; other keys of the facts are not looked at."""
        numbers = {name: tuple(values) for name, values in facts["numbers"].items()}
        levels = {name: tuple(words) for name, words in facts["levels"].items()}
        return cls(numbers, levels, coefficients)

    @property
    def columns(self) -> list[str]:
        """Covariates that `adjust` needs."""
        return [*self.numbers, *self.levels]

    def design(self, table: pd.DataFrame) -> np.ndarray:
        """The terms of each participant, `(N, P)`."""
        return _design(table, self.numbers, self.levels)

    def adjust(self, codes: np.ndarray, table: pd.DataFrame) -> np.ndarray:
        """Embeddings `(N, E)` as they would be for a participant of mean covariates and first levels.

        Values that `reasons_against` names are brought to the nearest that was seen in fitting, so that every participant has a
        embedding; do not trust theirs.

        Raises:
            InputProblems: for columns that are not there.
        """
        absent = [column for column in self.columns if column not in table]
        if absent:
            raise InputProblems(
                "Covariates", [f"Expected columns {', '.join(self.columns)}, got none named {', '.join(absent)}."]
            )
        tame = pd.DataFrame(index=table.index)
        for column, (mean, _, least, largest, *_) in self.numbers.items():
            tame[column] = pd.to_numeric(table[column], errors="coerce").fillna(mean).clip(least, largest)
        for column, known in self.levels.items():
            words = table[column].astype(str)
            tame[column] = words.where(words.isin(known), known[0])
        return codes - self.design(tame) @ self.coefficients

    def reasons_against(self, table: pd.DataFrame) -> list[str]:
        """Per participant, why the model does not hold for them; empty where it does."""
        reasons: list[list[str]] = [[] for _ in range(len(table))]
        for column, (_, _, least, largest, *_) in self.numbers.items():
            for person, value in zip(reasons, pd.to_numeric(table[column], errors="coerce"), strict=True):
                if np.isnan(value):
                    person.append(f"no number for {column}")
                elif not least <= value <= largest:
                    person.append(f"{column} {value:g} is outside {least:g} to {largest:g}")
        for column, known in self.levels.items():
            for person, word in zip(reasons, table[column], strict=True):
                if pd.isna(word) or str(word) not in known:
                    person.append(f"{column} {word} is none of {', '.join(known)}")
        return ["; ".join(person) for person in reasons]


def rounded_range(values: pd.Series, deviation: float) -> tuple[float, float]:
    """Least and largest value, rounded outwards to the decimal place of the standard deviation: the model is passed on, and the
    exact ones are those of single participants."""
    place = int(np.floor(np.log10(deviation)))
    step = 10.0**place
    digits = max(0, -place)
    return (
        round(float(np.floor(values.min() / step) * step), digits),
        round(float(np.ceil(values.max() / step) * step), digits),
    )


def is_number(values: pd.Series) -> bool:
    """Whether a column enters as a number and not as categories."""
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _design(
    table: pd.DataFrame, numbers: Mapping[str, tuple[float, ...]], levels: Mapping[str, Sequence[str]]
) -> np.ndarray:
    columns = []
    for column, (mean, deviation, _, _, *knots) in numbers.items():
        standardised = (pd.to_numeric(table[column]).to_numpy(dtype=float) - mean) / deviation
        columns += [standardised, *(_bends(standardised, knots) if knots else [standardised**2 - 1])]
    for column, known in levels.items():
        columns += [(table[column].astype(str) == level).to_numpy(dtype=float) for level in known[1:]]
    return np.column_stack(columns) if columns else np.zeros((len(table), 0))


def _bends(values: np.ndarray, knots: Sequence[float]) -> list[np.ndarray]:
    """Restricted cubic spline: what bends beside the line, straight beyond the outer knots, zero at 0.

    Source: Harrell (2015), Regression Modeling Strategies, section 2.4.5.
    """

    def bend(x: np.ndarray | float, knot: float) -> np.ndarray:
        before, last = knots[-2:]
        cubes = [np.maximum(x - place, 0) ** 3 for place in (knot, before, last)]
        share = (last - knot) / (last - before)
        return (cubes[0] - cubes[1] * share + cubes[2] * (share - 1)) / (last - knots[0]) ** 2

    return [bend(values, knot) - bend(0.0, knot) for knot in knots[:-2]]


def _few(names: Sequence[object]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(str, names[:5])) + more
