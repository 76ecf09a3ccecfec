"""Words that stand for a value that is not there."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

MISSING = ("n/a", "N/A", "NA", "NaN", "nan", "")
"""In tables that stages write; the first is that of BIDS."""
ANYWHERE = frozenset(
    re.findall(
        r"\S+",
        """
    n/a na nan -nan nan() n.a. n.a #n/a #n/a! #na <na> nat null #null! #null (null) [null] <null> \\n #div/0! #value! #ref! #name?
    #num! 1.#qnan 1.#ind -1.#ind . .. ... ? ?? - -- --- – — unknown missing
        """,
    )
) | {
    "",
    "not known",
    "not available",
    "not applicable",
    "not recorded",
    "not reported",
    "not measured",
    "not answered",
    "not stated",
    "no data",
    "no answer",
    "no response",
    "prefer not to answer",
    "prefer not to say",
    "prefer not to respond",
    "do not know",
    "don't know",
    "dont know",
    "declined to answer",
    "decline to answer",
    "refused to answer",
}
"""In any column of a user's table, in lower case: no level of a category is called so."""
IN_NUMBERS = frozenset(
    re.findall(
        r"\S+",
        """
    none nil no void blank empty unk unkn u refused refusal declined skipped invalid nd n.d. n.d n/d ns n/s tbd pending excluded
    unavailable undefined inapplicable undisclosed error #error
        """,
    )
) | {"not done", "not tested", "not asked", "not assessed", "not collected", "not determined", "out of range"}
"""Further ones, in columns whose other values are numbers: elsewhere they may be levels, such as a diagnosis `none`."""


def is_missing(word: str) -> bool:
    """Whether a word of any column means that there is no value."""
    return word.strip().casefold() in ANYWHERE


def as_numbers(column: pd.Series) -> tuple[pd.Series, pd.Series]:
    """A column of words as numbers, and which of its words are neither numbers nor missing.

    Args:
        column: words, NaN where missing.

    Returns:
        Floats, NaN where there is no number; and True for the words that are none, `IN_NUMBERS` not among them.
    """
    numbers = pd.to_numeric(column, errors="coerce")
    unread = numbers.isna() & column.notna()
    if unread.any():
        unread &= ~column.where(unread, "").astype(str).str.strip().str.casefold().isin(IN_NUMBERS)
    return numbers, unread


def numbers_of(values: pd.DataFrame) -> np.ndarray:
    """All cells as numbers `(rows, columns)`, NaN where there is none, in one pass, however many columns there are."""
    flat = pd.to_numeric(values.to_numpy(dtype=object).ravel(), errors="coerce")
    return np.asarray(flat, dtype=float).reshape(values.shape)


def listed_words(words: Sequence[str], most: int = 4) -> str:
    """Words in quotes, in alphabetical order, the first few."""
    shown = [repr(word) for word in sorted(set(words))]
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} others" if len(shown) > most else "")
