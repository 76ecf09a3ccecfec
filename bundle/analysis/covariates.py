"""Take age, sex, head size and the like out of codes, by a model that new people can be given to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class CovariateModel:
    """Linear regression of each code value on covariates; `adjust` keeps what they do not explain.

    Numbers enter standardised and squared, words as one indicator per level but the first.

    Attributes:
        numbers: column -> mean and standard deviation of the people it was fitted on.
        levels: column -> its words, sorted.
        coefficients: `(P, E)`, without the constant: the mean code stays.
    """

    numbers: Mapping[str, tuple[float, float]]
    levels: Mapping[str, tuple[str, ...]]
    coefficients: np.ndarray

    @classmethod
    def fit(cls, codes: np.ndarray, table: pd.DataFrame) -> CovariateModel:
        """Fit on people's codes `(N, E)` and covariates (N rows, one column each).

        Raises:
            ValueError: for missing values, constant columns, or too few people.
        """
        problems = [
            f"{column}: no value for {_few(table.index[table[column].isna()])}"
            for column in table
            if table[column].isna().any()
        ]
        problems += [f"{column}: the same for everybody" for column in table if table[column].nunique() == 1]
        if problems:
            raise ValueError("; ".join(problems) + ".")
        numbers, levels = {}, {}
        for column in table:
            values = table[column]
            if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
                numbers[str(column)] = (float(values.mean()), float(values.std(ddof=0)))
            else:
                levels[str(column)] = tuple(sorted(values.astype(str).unique()))
        design = _design(table, numbers, levels)
        if len(table) < 5 * design.shape[1]:
            raise ValueError(
                f"{len(table)} people are too few to take out {design.shape[1]} terms of {', '.join(map(str, table))}: "
                "five per term are needed."
            )
        design = design - design.mean(axis=0)
        coefficients = np.linalg.lstsq(design, codes - codes.mean(axis=0), rcond=None)[0]
        return cls(numbers, levels, coefficients)

    @property
    def columns(self) -> list[str]:
        """Covariates that `adjust` needs."""
        return [*self.numbers, *self.levels]

    def adjust(self, codes: np.ndarray, table: pd.DataFrame) -> np.ndarray:
        """Codes `(N, E)` as they would be for a person of mean covariates and first levels.

        Raises:
            ValueError: for columns that are not there, missing values, or levels that were not seen in fitting.
        """
        absent = [column for column in self.columns if column not in table]
        if absent:
            raise ValueError(f"Expected columns {', '.join(self.columns)}, got none named {', '.join(absent)}.")
        for column in self.columns:
            if table[column].isna().any():
                raise ValueError(f"{column}: no value for {_few(table.index[table[column].isna()])}.")
        for column, known in self.levels.items():
            odd = ~table[column].astype(str).isin(known)
            if odd.any():
                raise ValueError(
                    f"{column}: {_few(table.index[odd])} have {', '.join(sorted(set(table[column][odd].astype(str))))}, "
                    f"but the model knows {', '.join(known)} only."
                )
        return codes - _design(table, self.numbers, self.levels) @ self.coefficients


def _design(
    table: pd.DataFrame, numbers: Mapping[str, tuple[float, float]], levels: Mapping[str, Sequence[str]]
) -> np.ndarray:
    columns = []
    for column, (mean, deviation) in numbers.items():
        standardised = (pd.to_numeric(table[column]).to_numpy(dtype=float) - mean) / deviation
        columns += [standardised, standardised**2 - 1]
    for column, known in levels.items():
        columns += [(table[column].astype(str) == level).to_numpy(dtype=float) for level in known[1:]]
    return np.column_stack(columns) if columns else np.zeros((len(table), 0))


def _few(names: pd.Index, shown: int = 5) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(map(str, names[:shown])) + more
