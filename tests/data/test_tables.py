import numpy as np
import pandas as pd
import pytest

from bundle.data.tables import read_strictly, read_table, write_table

TABLE = pd.DataFrame(
    {"participant_id": ["007", "NA-1"], "word": ["Größe", None], "value": [0.1234567, np.nan], "people": [1234567, 2]}
)


def test_table_comes_back_with_ids_as_text_and_numbers_to_six_digits(tmp_path):
    write_table(TABLE, tmp_path / "new" / "table.tsv")
    back = read_table(tmp_path / "new" / "table.tsv", {"participant_id": str})
    pd.testing.assert_frame_equal(back, TABLE.assign(value=[0.123457, np.nan]))


def test_missing_values_are_written_as_one_word(tmp_path):
    write_table(TABLE, tmp_path / "table.tsv")
    assert (tmp_path / "table.tsv").read_text(encoding="utf-8").splitlines() == [
        "participant_id\tword\tvalue\tpeople",
        "007\tGröße\t0.123457\t1234567",
        "NA-1\tn/a\tn/a\t2",
    ]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", b"a\tb\n1\t2\t3\n4\t5\t6\t7\n"])
def test_what_is_no_table_is_refused(tmp_path, content):
    (tmp_path / "table.tsv").write_bytes(content)
    with pytest.raises(ValueError):
        read_table(tmp_path / "table.tsv")


def test_blanks_around_a_users_words_do_not_count(tmp_path):
    (tmp_path / "table.tsv").write_text(
        "\ufeffparticipant_id \tfamily_id\nsub-1\t F1\r\nsub-2 \tF1\u00a0\r\nsub-3\t n/a \n"
    )
    table = read_strictly(tmp_path / "table.tsv")
    assert list(table) == ["participant_id", "family_id"] and list(table["participant_id"]) == [
        "sub-1",
        "sub-2",
        "sub-3",
    ]
    assert list(table["family_id"][:2]) == ["F1", "F1"] and pd.isna(table["family_id"].iloc[2])


@pytest.mark.parametrize(("content", "words"), [("a;b\n1;2,5\n3;4,5\n", "semicolons"), ("a,b\n1,2\n", "commas")])
def test_another_separator_is_named(tmp_path, content, words):
    (tmp_path / "table.tsv").write_text(content)
    with pytest.raises(ValueError, match=f"its columns are separated by {words}, expected tabs"):
        read_strictly(tmp_path / "table.tsv")


def test_two_columns_of_one_name_are_refused(tmp_path):
    (tmp_path / "table.tsv").write_text("participant_id\tfamily_id\tfamily_id \nsub-1\tF1\tF2\n")
    with pytest.raises(ValueError, match="two columns are called family_id"):
        read_strictly(tmp_path / "table.tsv")
