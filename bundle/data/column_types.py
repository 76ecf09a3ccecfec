"""Columns of words as what they hold: numbers, or levels of a category."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from bundle.data.id_forms import level_form
from bundle.data.missing_words import as_numbers, numbers_of
from bundle.data.plausible import implausible_values

DECIMAL_COMMA = r"-?\d*,\d+"


def typed_columns(words: pd.DataFrame, categories: Collection[str]) -> tuple[pd.DataFrame, list[str]]:
    """Columns of numbers as numbers, others as levels in one writing each (1.0 is 1), and a sentence for each that is neither.

    Args:
        words: a row per participant, NaN where there is none.
        categories: columns that are levels even if numbers code them.
    """
    numbers, there = numbers_of(words), words.notna().to_numpy(dtype=bool)
    n_odd = (there & np.isnan(numbers)).sum(axis=0)
    n_numbers = np.isfinite(np.where(np.isinf(numbers), 0, numbers)).sum(axis=0)
    columns: dict[str, pd.Series | np.ndarray] = {}
    problems = []
    is_number = np.zeros(words.shape[1], dtype=bool)
    for position, name in enumerate(words.columns):
        if name in categories:
            columns[name] = words[name].map(level_form, na_action="ignore")
        elif not n_odd[position]:
            columns[name], is_number[position] = numbers[:, position], True
        elif not n_numbers[position]:
            columns[name] = words[name]
        else:
            read, odd = as_numbers(words[name])
            is_number[position] = not odd.any()
            columns[name] = read if not odd.any() else words[name].map(level_form, na_action="ignore")
            problems += _mixed(words[name], odd, int(n_numbers[position]))
    own = words.columns[is_number]
    problems += implausible_values(pd.DataFrame(numbers[:, is_number], words.index, own))
    return pd.DataFrame(columns, index=words.index), problems


def _mixed(words: pd.Series, odd: pd.Series, n_numbers: int) -> list[str]:
    """What is wrong with a column of which some words are no numbers; empty if they are levels."""
    with_comma = words[odd][words[odd].astype(str).str.fullmatch(DECIMAL_COMMA)]
    if 2 * len(with_comma) > odd.sum():
        return [
            f"{words.name}: numbers with a comma, such as {with_comma.iloc[0]}: write decimal points, and no commas at thousands."
        ]
    if odd.any() and n_numbers > odd.sum():
        few = ", ".join(f"{person} {word!r}" for person, word in words[odd].iloc[:5].items())
        return [f"{words.name}: most values are numbers, but not {few}: correct them, or name {words.name} in --categories."]  # fmt: skip
    return []
