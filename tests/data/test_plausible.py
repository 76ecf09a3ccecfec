"""Values that no participant has are refused where a table is read."""

import pandas as pd
import pytest

from bundle.data.participants import read_participants
from bundle.data.people import people_table
from bundle.data.problems import InputProblems

NAMES = ["a", "b", "c"]
CASES = [
    (column, value)
    for column, values in {
        "age_years": ["inf", "-inf", "Infinity", "1e308", "1e400", "-5", "121", "999", "-9"],
        "head_size_ml": ["inf", "-1", "1e6", "0"],
        "motion_mm": ["-0.1", "1e3"],
    }.items()
    for value in values
]


def written(folder, **columns):
    pd.DataFrame({"participant_id": NAMES, **columns}).to_csv(folder / "people.tsv", sep="\t", index=False)
    return folder / "people.tsv"


@pytest.mark.parametrize(("column", "value"), CASES)
def test_a_value_out_of_range_is_refused_with_its_person_at_every_door(tmp_path, column, value):
    file = written(tmp_path, **{column: ["30", value, "40"]})
    with pytest.raises(InputProblems, match=rf"{column}: expected .* got .*b "):
        read_participants(file)
    with pytest.raises(InputProblems, match=f"{column}: expected"):
        people_table(NAMES, str(tmp_path), str(file), [])


@pytest.mark.parametrize(("column", "value"), [("bmi", "inf"), ("bmi", "1e20"), ("Age", "-3"), ("age_at_scan", "-1")])
def test_other_columns_are_looked_at_where_they_are_used(tmp_path, column, value):
    with pytest.raises(InputProblems, match=f"{column}: expected"):
        people_table(NAMES, str(tmp_path), str(written(tmp_path, **{column: ["30", value, "40"]})), [])


def test_ordinary_people_pass(tmp_path):
    columns = {"age_years": ["0.1", "99", "n/a"], "head_size_ml": ["900", "1500", "2000"], "change": ["-3", "0", "1e9"]}
    assert len(people_table(NAMES, str(tmp_path), str(written(tmp_path, **columns)), [])) == 3
