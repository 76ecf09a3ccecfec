import pandas as pd
import pytest

from bundle.data.people import check_categories, people_table
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
