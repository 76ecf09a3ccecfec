import pandas as pd
import pytest

from bundle.data.layouts import read_layout
from bundle.data.problems import InputProblems
from bundle.data.source_tables import phenotypes_of, read_source_tables

IMAGES = {"T1w": "{participant_id}/t1.nii.gz"}
NAMES = ["a", "b", "c", "d"]


def layout_of(**entries):
    tables = [{"file": "people.tsv"}, {"file": "clinic.csv"}]
    return read_layout({"name": "mine", "space": "A", "images": IMAGES, "tables": tables} | entries)


@pytest.fixture
def folder(tmp_path):
    people = pd.DataFrame({"participant_id": NAMES, "family": ["f1", "f1", "", ""], "diagnosis": [1, 2, 3, 4]})
    people.to_csv(tmp_path / "people.tsv", sep="\t", index=False)
    pd.DataFrame({"participant_id": NAMES, "score": [4, 3, 2, 1]}).to_csv(tmp_path / "clinic.csv", index=False)
    return tmp_path


def test_restricted_columns_are_withheld_and_others_passed_on(folder):
    layout = layout_of(restricted=["diag*"], restricted_if_there=["sco?e", "Height"])
    tables = read_source_tables(layout, folder)
    assert tables.restricted == {"diagnosis", "score"} and tables.notes == ()
    assert list(phenotypes_of(tables, layout, NAMES, None, False)) == []


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("diagnosys", "did you mean 'diagnosis'"),
        ("Diagnosis", "did you mean 'diagnosis'"),
        ("iq", "restricted_if_there"),
    ],
)
def test_a_restricted_column_that_no_table_has_is_refused(folder, pattern, words):
    with pytest.raises(InputProblems) as caught:
        read_source_tables(layout_of(restricted=["score", pattern]), folder)
    assert repr(pattern) in str(caught.value) and words in str(caught.value) and "1 to mend" in str(caught.value)


def test_a_table_that_is_not_there_excuses_its_restricted_columns_but_no_misspelt_one(folder):
    (folder / "clinic.csv").unlink()
    (note,) = read_source_tables(layout_of(restricted=["score"]), folder).notes
    assert "'score'" in note and "perhaps it is in clinic.csv, which is not there" in note
    with pytest.raises(InputProblems, match="did you mean 'diagnosis'"):
        read_source_tables(layout_of(restricted=["diagnosys"]), folder)
