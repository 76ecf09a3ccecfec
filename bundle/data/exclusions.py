"""Who is left out by name, and why."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from bundle.data.file_patterns import is_file
from bundle.data.id_forms import in_words_of
from bundle.data.missing_words import is_missing
from bundle.data.problems import InputProblems
from bundle.data.table_text import read_lines

HEADERS = (
    "participantid",
    "participant",
    "subject",
    "subjectid",
    "id",
    "ids",
    "eid",
    "sub",
    "name",
    "x",
    "v1",
    "srcsubjectid",
)
"""First cells, without anything but letters and digits, that are no id but the name of a column."""


def read_exclusions(file: str | Path | None, names: Collection[str], prefix: str = "") -> dict[str, str]:
    """Participant id -> reason; an id that is another writing of one of `names` is that one, others stay as they are.

    Args:
        file: a line per participant: the id, then, after a tab, comma, semicolon or blank, the reason. Quotes around cells, a header,
            numbers of rows before the ids and what follows a `#` do not count; ids may stand in another column than the first.
            None excludes no participant.
        names: all participants who could be excluded.
        prefix: put before ids that are no participant's and do not have it.

    Raises:
        InputProblems: if the file is not there or no text in UTF-8, names a participant twice, or if it cannot be told which of its
            columns holds ids.
    """
    if file is None:
        return {}
    path = Path(file).expanduser()
    if not is_file(path):
        raise InputProblems(
            "Exclusions", [f"No {path}: --exclude takes a text file with a participant_id in each line."]
        )
    try:
        lines = read_lines(path)
    except ValueError as error:
        raise InputProblems("Exclusions", [f"{path}: {error}: save it as text in UTF-8."]) from error
    rows = [cells for line in lines if any(cells := _cells(line.split("#")[0]))]
    place = _column_of_ids(rows, names, path)
    if rows and (place >= len(rows[0]) or _is_header(rows[0], place, names)):
        rows = rows[1:]
    reasons: dict[str, str] = {}
    problems = []
    same = in_words_of([row[place] for row in rows if place < len(row)], names)
    for row in rows:
        word = row[place] if place < len(row) else ""
        if is_missing(word):
            problems.append(f"{path}: no id in the line {' '.join(row)!r}: complete or remove it.")
            continue
        name = same.get(word) or (word if word.startswith(prefix) else prefix + word)
        if name in reasons:
            problems.append(f"{path}: {name} stands twice: keep one line.")
        told = " ".join(cell for cell in row[place + 1 :] if cell)
        reasons[name] = told or f"named in {path.name}"
    if problems:
        raise InputProblems("Exclusions", problems)
    return reasons


def looks_otherwise(strangers: Collection[str], names: Collection[str]) -> bool:
    """Whether ids that are no participant's are of another kind than those of `names`: other letters, or more or fewer digits."""
    shapes = {re.sub(r"\d", "9", name) for name in names}
    return bool(strangers) and bool(names) and all(re.sub(r"\d", "9", name) not in shapes for name in strangers)


def _cells(line: str) -> list[str]:
    """Cells of a line, at tabs, semicolons or commas if there are any, else its words; blanks end an id in any case."""
    mark = next((mark for mark in "\t;," if mark in line), None)
    if mark is None:
        parts = re.findall(r'"[^"]*"|\S+', line)
    else:
        parts = line.split(mark)
        parts = [*parts[0].split(maxsplit=1), *parts[1:]] if parts[0].strip() else parts
    cells = [re.sub(r"""^(["'])(.*)\1$""", r"\2", part.strip()).strip() for part in parts]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _is_header(row: list[str], place: int, names: Collection[str]) -> bool:
    return not in_words_of([row[place]], names) and re.sub(r"[\W_]", "", row[place]).casefold() in HEADERS


def _column_of_ids(rows: list[list[str]], names: Collection[str], path: Path) -> int:
    """Where ids stand: the column that names most participants; the first one, or the one after numbers of rows, if none does."""
    if not rows:
        return 0
    below = rows[1:] or rows
    width = max(map(len, below))
    found = [len(in_words_of({row[place] for row in below if place < len(row)}, names)) for place in range(width)]
    first = [row[0] for row in below]
    is_short = len(below) < len(rows) and (not rows[0][0] or len(rows[0]) < min(map(len, below))) and not in_words_of(rows[0], names)  # fmt: skip
    if width > 1 and is_short and all(re.fullmatch(r"\d+", word) for word in first):
        return max(range(1, width), key=lambda place: found[place])  # R numbers rows, with no name above the numbers
    best = max(range(width), key=lambda place: found[place])
    others = [place for place in range(width) if place != best and found[place]]
    is_numbered = len(first) > 1 and first == [str(n + int(first[0])) for n in range(len(first))] if first[0].isdigit() else False  # fmt: skip
    rival = next((place for place in others if found[place] == len(below)), None) if best == 0 and is_numbered else None
    if best > 0 and others and not (is_numbered and others == [0]):
        rival = others[0]
    if rival is not None:
        told = " and ".join(str(place + 1) for place in sorted((best, rival)))
        raise InputProblems(
            "Exclusions", [f"{path}: columns {told} both hold ids: keep that of the participants to be excluded."]
        )
    return best
