import pandas as pd
import pytest

from bundle.data.people import check_categories, covariate_columns, people_table
from bundle.data.problems import InputProblems

NAMES = ["a", "b", "c"]


@pytest.fixture
def participants(tmp_path):
    table = pd.DataFrame({"participant_id": NAMES, "scanner": [1, 2, 2], "age_years": [30, 40, 50]})
    table.to_csv(tmp_path / "people.tsv", sep="\t", index=False)
    return str(tmp_path / "people.tsv")


def test_categories_that_numbers_code_stay_words(tmp_path, participants):
    table = people_table(NAMES, str(tmp_path), participants, ["sex", "site", "scanner"])
    assert table["scanner"].tolist() == ["1", "2", "2"] and table["age_years"].tolist() == [30, 40, 50]


def test_a_category_that_is_no_column_is_refused(tmp_path, participants):
    table = people_table(NAMES, str(tmp_path), participants, ["sex", "scanner"])
    check_categories(table, ["sex", "site", "scanner"])
    with pytest.raises(InputProblems, match=r"--categories names 'Scanner', .* has scanner, .*: correct the name"):
        check_categories(table, ["sex", "Scanner"])


def write(folder, **columns):
    pd.DataFrame({"participant_id": NAMES, **columns}).to_csv(folder / "mine.tsv", sep="\t", index=False)
    return str(folder / "mine.tsv")


def test_ids_written_otherwise_are_said_once(tmp_path):
    with pytest.raises(InputProblems) as caught:
        people_table(["P1", "P2"], str(tmp_path), write(tmp_path), [])
    assert caught.value.problems == [
        "None of the 2 participants with an embedding (such as P1, P2) is among the 3 participants of the participants table (such as a, "
        "b): make the ids the same."
    ]


def test_decimal_commas_are_no_categories(tmp_path):
    with pytest.raises(InputProblems, match="age_years: numbers with a comma, such as 22,5: write decimal points"):
        people_table(NAMES, str(tmp_path), write(tmp_path, age_years=["22,5", "30,1", "29"]), [])


def test_levels_that_differ_in_case_alone_are_refused(tmp_path):
    table = people_table(NAMES, str(tmp_path), write(tmp_path, sex=["M", "m", "F"]), ["sex"])
    with pytest.raises(InputProblems, match="sex: M and m count as different: write one of them"):
        covariate_columns(table, ["sex"])


def test_levels_are_named(tmp_path, caplog):
    table = people_table(NAMES, str(tmp_path), write(tmp_path, sex=["M", "male", "F"], age_years=[1, 2, 3]), ["sex"])
    with caplog.at_level("INFO"):
        covariate_columns(table, ["sex", "age_years"])
    assert "Regressed out of the embeddings: sex (F, M, male), age_years (number)." in caplog.text
