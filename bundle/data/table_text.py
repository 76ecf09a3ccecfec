"""The cells of a table of text, taken strictly: every line is a row of as many cells as the header has names."""

from __future__ import annotations

import csv
import re
from itertools import pairwise
from pathlib import Path

SEPARATORS = {"\t": "tabs", ",": "commas", ";": "semicolons"}
MOST_LINES = 5
"""Lines that are named when many are wrong."""
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
"""Characters that no one sees, which are left out."""


def read_cells(path: Path, separator: str) -> tuple[list[str], list[list[str]], list[int]]:
    """Names of columns, rows of cells, and the line that each row is from.

    A row is a line. Tabs separate whatever stands between them: a quote there is a character like others, but for quotes
    around a whole cell, which are taken off. Between commas quotes may hold commas (RFC 4180), but no line's end, since a
    quote that is never closed would swallow rows. Empty lines do not count, nor do running numbers without a name (row
    names). Blanks around cells and names are taken off.

    Raises:
        ValueError: if the file is empty, not in UTF-8, holds a NUL, is separated otherwise, has a row of more or fewer cells
            than the header (with the lines), two columns of one name, or one without any.
        OSError: if it cannot be read.
    """
    lines = read_lines(path)
    split = _split_at_tabs if separator == "\t" else _split_at_commas
    numbered = [(line, cells) for line, cells in split(lines, separator) if any(cells)]
    if not numbered:
        raise ValueError("it is empty")
    (_, header), rows = numbered[0], [cells for _, cells in numbered[1:]]
    numbers = [line for line, _ in numbered[1:]]
    others = [word for mark, word in SEPARATORS.items() if mark != separator and mark in header[0]]
    if len(header) == 1 and " " in header[0]:
        others.append("blanks")
    if len(header) == 1 and others:
        raise ValueError(f"its columns are separated by {others[0]}, expected {SEPARATORS[separator]}")
    _check_lengths(header, rows, numbers)
    header, rows = _without_row_names(header, rows)
    twice = sorted({name for name in header if header.count(name) > 1}) if len(set(header)) < len(header) else []
    if twice:
        raise ValueError(f"two columns are called {' and '.join(twice)}: keep one")
    return header, rows, numbers


def read_lines(path: Path) -> list[str]:
    """Lines of a text in UTF-8.

    Raises:
        ValueError: if it is in another encoding or holds a NUL, with the line.
    """
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("it is in UTF-16, expected UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"line {line} is not in UTF-8 (byte {content[error.start]:#04x})") from error
    if any(mark in text for mark in INVISIBLE):
        text = text.translate(dict.fromkeys(map(ord, INVISIBLE)))
    lines = re.split("\r\n|\n|\r", text)
    if "\0" in text:
        number = next(number for number, line in enumerate(lines, 1) if "\0" in line)
        raise ValueError(f"line {number} holds a NUL character")
    return lines


def unquoted(cell: str) -> str:
    """A cell without quotes around the whole of it; two quotes inside are one."""
    cell = cell.strip()
    if len(cell) > 1 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"').strip()
    return cell


def _split_at_tabs(lines: list[str], separator: str) -> list[tuple[int, list[str]]]:
    return [
        (number, [*map(unquoted if '"' in line else str.strip, line.split(separator))])
        for number, line in enumerate(lines, 1)
    ]


def _split_at_commas(lines: list[str], separator: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
    rows: list[tuple[int, list[str]]] = []
    before = 0
    try:
        for cells in reader:
            if reader.line_num > before + 1:
                raise ValueError(
                    f"a quote that is opened in line {before + 1} is closed in line {reader.line_num}: close it in its own line"
                )
            before = reader.line_num
            rows.append((before, [*map(str.strip, cells)]))
    except csv.Error as error:
        raise ValueError(f"the quotes of line {before + 1} are not closed, or stand inside a cell ({error})") from error
    return rows


def _check_lengths(header: list[str], rows: list[list[str]], lines: list[int]) -> None:
    wrong = [(line, len(row)) for line, row in zip(lines, rows, strict=True) if len(row) != len(header)]
    if not wrong:
        return
    told = ", ".join(f"line {line} has {count}" for line, count in wrong[:MOST_LINES])
    more = f" and {len(wrong) - MOST_LINES} lines more" if len(wrong) > MOST_LINES else ""
    hint = ""
    if len(wrong) == len(rows) and {count for _, count in wrong} == {len(header) + 1}:
        hint = ", as if rows had names: write the table without row names"
    raise ValueError(f"expected {len(header)} cells in each row, as the header has names, but {told}{more}{hint}")


def _without_row_names(header: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """The table without columns that have no name, if they are empty or number the rows."""
    nameless = [column for column, name in enumerate(header) if not name or re.fullmatch(r"Unnamed: \d+", name)]
    for column in nameless:
        cells = [row[column] for row in rows]
        if any(cells) and not _is_running(cells):
            raise ValueError(f"column {column + 1} has no name: name it, or remove it")
    if not nameless:
        return header, rows
    kept = [column for column in range(len(header)) if column not in nameless]
    return [header[column] for column in kept], [[row[column] for column in kept] for row in rows]


def _is_running(cells: list[str]) -> bool:
    """Whether cells are whole numbers one after another."""
    if not all(re.fullmatch(r"\d{1,15}", cell) for cell in cells):
        return False
    numbers = [int(cell) for cell in cells]
    return all(after == before + 1 for before, after in pairwise(numbers))
