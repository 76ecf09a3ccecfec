"""A table of numbers per participant: embeddings, principal components, regional volumes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bundle.data.embedding_table import TABLE
from bundle.data.problems import InputProblems
from bundle.data.tables import read_strictly

VALUE_OF_EMBEDDING = r"e\d{4,}"
"""Columns of `embeddings.tsv` that are the embedding; the others are notes on it."""
SEPARATORS = {".tsv": "\t", ".csv": ","}


@dataclass(frozen=True)
class FeatureTable:
    """Numbers that participants are described by.

    Attributes:
        participant_ids: N names.
        values: `(N, P)` float, finite.
        columns: P names; empty for embeddings.
        encoder_hash: of the network that made them; None if it is not known or there was none.
    """

    participant_ids: tuple[str, ...]
    values: np.ndarray
    columns: tuple[str, ...] = ()
    encoder_hash: str | None = None

    def of(self, names: Sequence[str]) -> np.ndarray:
        """Rows of these participants, in this order."""
        row_of = {name: row for row, name in enumerate(self.participant_ids)}
        return self.values[[row_of[name] for name in names]]


def read_feature_table(file: str | Path) -> FeatureTable:
    """Read an `embeddings.npz`, its folder, or a table (.tsv, .csv) of `participant_id` and columns of numbers.

    An `.npz` needs the arrays `participant_id` `(N,)` and `embeddings` `(N, P)`; `embedding` writes one. Of an
    `embeddings.tsv` the columns of the embedding are taken, of other tables all.

    Raises:
        InputProblems: if it is not there or cannot be read, holds no participant or nothing, a participant twice, words, or values that are missing
            or not finite.
    """
    path = Path(file).expanduser()
    path = path / f"{TABLE}.npz" if path.is_dir() else path
    if not path.is_file():
        raise InputProblems("Features", [f"No file {path}: run embedding first, or correct the path."])
    table = _from_arrays(path) if path.suffix == ".npz" else _from_text(path)
    problems = _problems(table)
    if problems:
        raise InputProblems(f"Features {path}", problems)
    return table


def _from_arrays(path: Path) -> FeatureTable:
    try:
        with np.load(path, allow_pickle=False) as stored:
            names, values = stored["participant_id"].astype(str), stored["embeddings"].astype(float)
            encoder = str(stored["encoder_hash"]) if "encoder_hash" in stored else None
    except Exception as error:  # whatever a broken file makes numpy raise
        problem = f"{path}: expected arrays participant_id (N,) and embeddings (N, P), got {error}: write it again."
        raise InputProblems("Features", [problem]) from error
    if values.ndim != 2 or names.shape != values.shape[:1]:
        problem = f"{path}: expected N names and (N, P) numbers, got {names.shape} and {values.shape}: write it again."
        raise InputProblems("Features", [problem])
    return FeatureTable(tuple(names.tolist()), values, (), encoder)


def _from_text(path: Path) -> FeatureTable:
    if path.suffix not in SEPARATORS:
        raise InputProblems("Features", [f"{path}: expected .npz, {' or '.join(SEPARATORS)}: save it as one of them."])
    try:
        table = read_strictly(path, SEPARATORS[path.suffix])
    except ValueError as error:
        raise InputProblems("Features", [f"{path} cannot be read ({error}): save it in UTF-8."]) from error
    if "participant_id" not in table or table["participant_id"].isna().any():
        raise InputProblems("Features", [f"{path}: expected a participant_id in every row, got {list(table)[:6]}."])
    names, encoder = tuple(table.pop("participant_id")), None
    if "encoder_hash" in table:
        encoder = str(table["encoder_hash"].iloc[0]) if len(table) else None
        table = table[[column for column in table if re.fullmatch(VALUE_OF_EMBEDDING, column)]]
    numbers = table.apply(pd.to_numeric, errors="coerce")
    words = [column for column in table if (numbers[column].isna() & table[column].notna()).any()]
    if words:
        raise InputProblems(
            f"Features {path}",
            [
                f"{column}: expected numbers, got {table.loc[numbers[column].isna() & table[column].notna(), column].iloc[0]!r}: "
                "correct or remove the column."
                for column in words
            ],
        )
    columns = () if encoder is not None else tuple(map(str, table))
    return FeatureTable(names, numbers.to_numpy(dtype=float), columns, encoder)


def _problems(table: FeatureTable) -> list[str]:
    if not table.values.size:
        return [f"Expected participants and columns of numbers, got {table.values.shape[0]} x {table.values.shape[1]}."]
    twice = [name for name, count in Counter(table.participant_ids).items() if count > 1]
    problems = [f"{name}: stands in several rows: keep one." for name in twice]
    names = table.columns or tuple(f"value {number}" for number in range(table.values.shape[1]))
    for row, column in np.argwhere(~np.isfinite(table.values)).tolist():
        problems.append(
            f"{table.participant_ids[row]}: {names[column]} is missing or not finite: fill it in, or remove the row."
        )
    return problems
