"""Every line of a user's table is a row, or the table is refused with the line."""

import numpy as np
import pandas as pd
import pytest

from bundle.data.problems import InputProblems
from bundle.data.tables import SAID, read_strictly, read_table, words_on_missing, write_table

SEEDS = range(20)
ODD_CELLS = [
    '"',
    '"open',
    'close"',
    'in"side',
    "'",
    "O'Neill",
    "#1",
    "a,b",
    "a;b",
    "x" * 300,
    "Größe",
    "\\",
    "=1+1",
    "007",
]


def random_table(seed, n_rows=12, n_columns=5):
    """Rows of words, some of them with quotes, commas and other characters that readers trip over."""
    rng = np.random.default_rng(seed)
    words = np.array([*ODD_CELLS, *(f"w{number}" for number in range(20))], dtype=object)
    cells = rng.choice(words, size=(n_rows, n_columns))
    cells[:, 0] = [f"sub-{number:02d}" for number in range(n_rows)]
    return ["participant_id", *(f"column {number}" for number in range(1, n_columns))], cells


def written(folder, header, rows, separator="\t", end="\n"):
    file = folder / "table.tsv"
    file.write_bytes((end.join(separator.join(row) for row in [header, *rows]) + end).encode())
    return file


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_row_is_a_line_whatever_characters_its_cells_hold(tmp_path, seed, end):
    header, rows = random_table(seed)
    table = read_strictly(written(tmp_path, header, rows, end=end))
    assert list(table) == header and table.to_numpy().tolist() == rows.tolist()
    assert table.index.tolist() == list(range(2, len(rows) + 2))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_row_of_more_or_fewer_cells_is_refused_with_its_line(tmp_path, seed):
    rng = np.random.default_rng(seed)
    header, rows = random_table(seed)
    rows = [list(row) for row in rows]
    wrong = int(rng.integers(len(rows)))
    if rng.random() < 0.5:
        del rows[wrong][int(rng.integers(1, len(header)))]
    else:
        rows[wrong].insert(int(rng.integers(len(header) + 1)), "")
    with pytest.raises(ValueError, match=rf"line {wrong + 2} has {len(rows[wrong])}"):
        read_strictly(written(tmp_path, header, rows))


@pytest.mark.parametrize("seed", SEEDS)
def test_quotes_around_whole_cells_are_taken_off_at_tabs_and_commas(tmp_path, seed):
    header, rows = random_table(seed)
    quoted = [['"' + cell.replace('"', '""') + '"' for cell in row] for row in [header, *rows]]
    for separator in "\t,":
        table = read_strictly(written(tmp_path, quoted[0], quoted[1:], separator), separator)
        whole = [cell.strip('"') if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell for cell in rows.ravel()]
        assert list(table) == header and table.to_numpy().ravel().tolist() == whole


@pytest.mark.parametrize("seed", SEEDS)
def test_a_quote_that_is_not_closed_never_swallows_a_row(tmp_path, seed):
    rng = np.random.default_rng(seed)
    rows = [[f"sub-{number:02d}", f'"w{number}"', str(number)] for number in range(12)]
    row, column = int(rng.integers(12)), int(rng.integers(3))
    rows[row][column] = '"' + rows[row][column].strip('"')
    file = written(tmp_path, ["participant_id", "word", "number"], rows, ",")
    with pytest.raises(ValueError, match="line"):
        read_strictly(file, ",")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a b\n1 2\n", "separated by blanks"),
        ("x\ta\n1\ts1\tF1\n2\ts2\tF2\n", "without row names"),
        ("a\t\ts\n1\tx\t2\n", "column 2 has no name"),
        ("a\tb\n1\t2\n3\0\t4\n", "line 3 holds a NUL"),
        (b"\xff\xfea\0", "UTF-16"),
        (b"a\tb\nM\xfcller\t2\n", r"line 2 is not in UTF-8 \(byte 0xfc\)"),
        ("\n\n", "empty"),
        ("", "empty"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, content, words):
    (tmp_path / "table.tsv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=words):
        read_strictly(tmp_path / "table.tsv")


@pytest.mark.parametrize("name", ["", '""', "Unnamed: 0"])
@pytest.mark.parametrize("first", [0, 1])
def test_numbers_of_rows_are_no_column(tmp_path, name, first):
    rows = [[str(first + number), f"s{number}"] for number in range(4)]
    assert list(read_strictly(written(tmp_path, [name, "participant_id"], rows))) == ["participant_id"]


def test_empty_lines_do_not_count_and_lines_keep_their_numbers(tmp_path):
    (tmp_path / "table.tsv").write_text("a\tb\n\n1\t2\n\t\n3\t4\n\n")
    assert read_strictly(tmp_path / "table.tsv").index.tolist() == [3, 5]


def test_what_a_stage_writes_comes_back_in_one_line_per_row(tmp_path):
    words = ['say "no"', '"all"', "two\nlines", "a\ttab", "none", "unknown", None]
    table = pd.DataFrame({"word": words, "number": [1.5, np.nan, 3, 4, 5, 6, 7], "yes": [True, False] * 3 + [True]})
    write_table(table, tmp_path / "table.tsv")
    back = read_table(tmp_path / "table.tsv")
    assert back["word"].tolist()[:6] == ['say "no"', '"all"', "two lines", "a tab", "none", "unknown"]
    assert back["word"].isna().tolist() == [False] * 6 + [True] and back["yes"].dtype == bool
    np.testing.assert_array_equal(back["number"], table["number"])


@pytest.mark.parametrize("content", [b"", b"[]", b"M\xfcller\tb\n1\t2\n", b"a\tb\n1\n"])
def test_a_stages_table_that_is_broken_or_lacks_a_column_is_a_problem_of_input(tmp_path, content):
    (tmp_path / "table.tsv").write_bytes(content)
    with pytest.raises(InputProblems, match=r"table\.tsv"):
        read_table(tmp_path / "table.tsv", needed=["participant_id"])


@pytest.mark.parametrize(
    "word",
    ["n/a", "", "NaN", "NULL", "#NULL!", ".", "-", "#N/A", "<NA>", "?", "Prefer not to answer", "unknown", "Missing", "Do not know"],
)  # fmt: skip
def test_words_for_missing_values_are_missing_and_counted(tmp_path, word):
    file = written(tmp_path, ["participant_id", "score"], [["s1", word], ["s2", "3"], ["s3", word.upper()]])
    table = read_strictly(file)
    assert table["score"].isna().tolist() == [True, False, True]
    if word not in ("", "n/a", "NaN"):
        assert sum(table.attrs[SAID].values()) == 2 and "table.tsv: 2 cells" in words_on_missing(table, "table.tsv")


def test_many_columns_are_read_at_once(tmp_path):
    names = [f"c{number}" for number in range(100_000)]
    file = written(tmp_path, ["participant_id", *names], [[f"s{row}", *["1.5"] * len(names)] for row in range(3)])
    table = read_strictly(file)
    assert table.shape == (3, 100_001) and table["c99999"].tolist() == ["1.5"] * 3
