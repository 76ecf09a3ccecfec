import pandas as pd
import pytest

from bundle.data.fold_table import read_fold_table
from bundle.data.problems import InputProblems

ITEMS = [{"participant_id": f"s{n}", "family_id": f"f{n // 2}"} for n in range(6)]
GOOD = {"s0": 1, "s1": 1, "s2": 2, "s3": 2, "s4": 3, "s5": 3}


def written(folder, rows, **columns):
    file = folder / "mine.tsv"
    table = pd.DataFrame(rows, columns=["participant_id", "fold"]).assign(**columns)
    table.to_csv(file, sep="\t", index=False)
    return file


def test_a_table_written_by_hand_is_read_in_the_order_of_the_cohort(tmp_path):
    table, problems = read_fold_table(written(tmp_path, list(GOOD.items())[::-1]), ITEMS)
    assert problems == []
    assert list(table["participant_id"]) == list(GOOD) and list(table["fold"]) == list(GOOD.values())
    assert list(table["family_id"]) == [item["family_id"] for item in ITEMS]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"s5": None}, "s5: expected a whole number from 1 as fold, got nothing"),
        ({"s5": "1.5"}, "s5: expected a whole number from 1 as fold, got '1.5'"),
        ({"s5": "0"}, "s5: expected a whole number from 1 as fold, got '0'"),
        ({"s4": 5, "s5": 5}, "no participant is in fold 3, but 5 is used"),
        ({"s1": 2}, r"Family f0 is in fold 1 \(s0\) and fold 2 \(s1\): put all its members in one fold"),
        ({"stranger": 1}, "stranger is not in the cohort"),
        (dict.fromkeys(GOOD, 1), "expected two folds or more, got 1"),
    ],
)
def test_each_thing_that_is_wrong_is_said(tmp_path, change, message):
    _, problems = read_fold_table(written(tmp_path, list((GOOD | change).items())), ITEMS)
    assert len([problem for problem in problems if pd.Series(problem).str.contains(message)[0]]) == 1


def test_everything_that_is_wrong_is_said_at_once(tmp_path):
    rows = [("s0", 1), ("s1", 2), ("s2", 2), ("s2", 2), ("s4", ""), ("s5", 3), (None, 1), ("x", 1)]
    _, problems = read_fold_table(written(tmp_path, rows, family_id=["f0"] * 2 + ["f9"] * 2 + ["f2"] * 4), ITEMS)
    text = "\n".join(problems)
    for words in (
        "line 8 has no participant_id",
        "s2 stands in 2 rows: keep one",
        "x is not in the cohort",
        "s3 of the cohort is not in it",
        "s4: expected a whole number",
        "s2 is of family f9, in the cohort of f1",
        "Family f0 is in fold 1 (s0) and fold 2 (s1)",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"participant_id,fold\ns0,1\n", "its columns are separated by commas, expected tabs"),
        (b"id\tfolds\ns0\t1\n", "has no column participant_id and fold"),
        (b"", "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"participant_id\ts\n", "has no column fold"),
    ],
)
def test_what_is_no_such_table_is_refused(tmp_path, content, message):
    file = tmp_path / "mine.tsv"
    file.write_bytes(content)
    with pytest.raises(InputProblems, match=message):
        read_fold_table(file, ITEMS)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputProblems, match=r"nowhere.tsv is missing"):
        read_fold_table(tmp_path / "nowhere.tsv", ITEMS)
