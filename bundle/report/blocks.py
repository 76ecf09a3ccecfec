"""What a report is made of: sections of text, figures, tables and steps. The template draws each kind once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pandas as pd

from bundle.report.numbers import Writer, words

MOST_ROWS = 60
"""Rows of a table that are shown; its file holds all."""


@dataclass(frozen=True)
class Text:
    """A paragraph; `tone` is `plain`, `note` (to be seen) or `absent` (a stage that has not run, with its command)."""

    kind: ClassVar[str] = "text"
    words: str
    tone: str = "plain"
    command: str = ""


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    kind: ClassVar[str] = "bullets"
    sentences: Sequence[str]


@dataclass(frozen=True)
class Steps:
    """How many participants were left at each step: (step, participants, why fewer than before)."""

    kind: ClassVar[str] = "steps"
    rows: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Figure:
    """A picture as a `data:` address, `width` pixels wide (0: its own); on a phone a wide one scrolls sideways."""

    kind: ClassVar[str] = "figure"
    source: str
    alt: str
    caption: str
    width: int = 0
    wide: bool = True
    descriptive: bool = False


@dataclass(frozen=True)
class Figures:
    """Small pictures side by side where there is room."""

    kind: ClassVar[str] = "figures"
    parts: Sequence[Figure]


@dataclass(frozen=True)
class Table:
    """Cells as text; `left` says which columns hold words; `groups` are headings over several columns."""

    kind: ClassVar[str] = "table"
    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: Sequence[bool]
    file: str
    note: str = ""
    groups: Sequence[tuple[str, int]] = ()
    descriptive: bool = False

    @property
    def is_tight(self) -> bool:
        """Whether its numbers need the room between columns."""
        widths = [sum(len(cell) for cell, left in zip(row, self.left, strict=True) if not left) for row in self.rows]
        return len(self.headings) > 8 or max(widths, default=0) > 60


@dataclass
class Section:
    """A heading with what stands under it."""

    anchor: str
    title: str
    blocks: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Column:
    """A column of a table: its name there, its heading, and how its values are written."""

    name: str
    heading: str
    write: Writer = words


def with_interval(name: str, heading: str, write: Writer, low: str = "low", high: str = "high") -> list[Column]:
    """A value's column and those of the ends of its interval, which are named `low` and `high`."""
    return [Column(name, heading, write), Column(low, "low", write), Column(high, "high", write)]


def make_table(
    frame: pd.DataFrame,
    columns: Sequence[Column],
    caption: str,
    file: str,
    note: str = "",
    groups: Sequence[tuple[str, int]] = (),
    descriptive: bool = False,
) -> Table:
    """A table from the columns of a frame; its first rows, if it has more than `MOST_ROWS`."""
    if len(frame) > MOST_ROWS:
        note = f"The first {MOST_ROWS} of {len(frame):,} rows. {note}".strip()
    rows = [[column.write(row[column.name]) for column in columns] for row in frame.head(MOST_ROWS).to_dict("records")]
    left = [column.write is words for column in columns]
    return Table(caption, [column.heading for column in columns], rows, left, file, note, groups, descriptive)
