import pandas as pd
import pytest

from bundle.data.layouts import read_layout
from bundle.data.problems import InputProblems
from bundle.data.source_columns import phenotypes_of
from bundle.data.source_families import families
from bundle.data.source_tables import read_source_tables

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


def test_tables_of_one_form_add_people_and_fill_in_what_the_first_lacks(folder):
    more = {
        "participant_id": ["b", "c", "e"],
        "family": ["f9", "f2", "f2"],
        "diagnosis": ["", "", 7],
        "site": [1, 1, 2],
    }
    pd.DataFrame(more).to_csv(folder / "people-2.tsv", sep="\t", index=False)
    layout = layout_of(tables=[{"file": "people*.tsv"}], participants={"family_id": "family"})
    files = ["people-2.tsv", "people.tsv"]
    tables = read_source_tables(layout, folder)
    assert [file.name for file in tables.files] == files and list(tables.values) == ["family", "diagnosis", "site"]
    assert families(tables, layout, ["a", "b", "c", "e"], 0).tolist() == ["f1", "f9", "f2", "f2"]
    assert tables.values["diagnosis"].to_dict() == {"a": "1", "b": "2", "c": "3", "d": "4", "e": "7"}
    assert tables.notes == ("people.tsv: family differ from the tables before it, whose values are taken.",)


def test_restricted_columns_are_withheld_and_others_passed_on(folder):
    layout = layout_of(restricted=["diag*"], restricted_if_there=["sco*e", "Height"])
    tables = read_source_tables(layout, folder)
    assert tables.restricted == {"diagnosis", "score"} and tables.notes == ()
    assert list(phenotypes_of(tables, layout, NAMES, None, False)[0]) == []


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
    assert repr(pattern) in str(caught.value) and words in str(caught.value) and "1 to fix" in str(caught.value)


def test_a_table_that_is_not_there_excuses_its_restricted_columns_but_no_misspelt_one(folder):
    (folder / "clinic.csv").unlink()
    (note,) = read_source_tables(layout_of(restricted=["score"]), folder).notes
    assert "'score'" in note and "perhaps it is in clinic.csv, which is not there" in note
    with pytest.raises(InputProblems, match="did you mean 'diagnosis'"):
        read_source_tables(layout_of(restricted=["diagnosys"]), folder)


PAIRS = {"file": "rel.dat", "columns": ["ID1", "ID2"], "kinship": "Kinship"}


def of_families(folder, **entries):
    layout = layout_of(**entries)
    tables = read_source_tables(layout, folder)
    return families(tables, layout, NAMES, 0), tables.notes


def test_relatives_join_families_that_a_column_names(folder):
    (folder / "rel.dat").write_text("ID1 ID2 Kinship\nb c 0.25\na d 0.01\nb nobody 0.25\n")
    own, _ = of_families(folder, participants={"family_id": "family"}, relatives=PAIRS)
    assert own["a"] == own["b"] == own["c"] != own["d"] and own.str.startswith("family-").all()


@pytest.mark.parametrize("pair", ["1 2", "sub-1 2", "1 sub-2"])
def test_relatives_are_found_with_and_without_the_prefix_of_the_tables(tmp_path, pair):
    (tmp_path / "people.tsv").write_text("participant_id\tage\nsub-1\t3\n2\t4\n3\t5\n")
    (tmp_path / "rel.dat").write_text(f"ID1 ID2 Kinship\n{pair} 0.25\n")
    layout = layout_of(tables=[{"file": "people.tsv", "prefix": "sub-"}], relatives=PAIRS)
    own = families(read_source_tables(layout, tmp_path), layout, ["sub-1", "sub-2", "sub-3"], 0)
    assert own["sub-1"] == own["sub-2"] != own["sub-3"]


def test_a_list_of_relatives_that_names_nobody_of_the_tables_is_refused(folder):
    (folder / "rel.dat").write_text("ID1 ID2 Kinship\n1 2 0.25\n")
    with pytest.raises(InputProblems, match=r"rel.dat: none of its participants .* expected ids such as a, got 1"):
        of_families(folder, relatives=PAIRS)


def test_a_column_that_is_not_there_drops_no_relatives(folder):
    (folder / "rel.dat").write_text("ID1 ID2 Kinship\nb c 0.25\n")
    own, notes = of_families(folder, participants={"family_id": "household"}, relatives=PAIRS)
    assert own["b"] == own["c"] and own.nunique() == 3
    assert notes == ("family_id: none of its columns (household) is in the tables",)


def test_families_of_a_column_alone_keep_their_names(folder):
    own, notes = of_families(folder, participants={"family_id": "family"})
    assert own.fillna("").tolist() == ["f1", "f1", "", ""] and notes == ()


def test_our_columns_that_nothing_stands_for_are_told_and_a_misspelt_family_is_refused(folder):
    _, notes = of_families(folder, participants={"family_id": "household", "sex": "diagnoses", "site": "54-{session}"})
    assert "household" in notes[0] and "both sides of the split" in notes[0]
    assert "(diagnoses)" in notes[1] and "did you mean 'diagnosis'" in notes[1] and "54-{session}" in notes[2]
    with pytest.raises(InputProblems, match=r"family_id: none of its columns \(famly\).*did you mean 'family'"):
        of_families(folder, participants={"family_id": ["famly"]})


@pytest.mark.parametrize(("name", "meant"), [("famly_id", "family_id"), ("Family_ID", "family_id"), ("age_yrs", "age_years")])  # fmt: skip
def test_a_name_near_one_of_ours_is_refused(name, meant):
    with pytest.raises(InputProblems, match=f"participants: '{name}'.*did you mean '{meant}'"):
        layout_of(participants={name: "family"})
    assert "mother_id" in layout_of(participants={"mother_id": "mother"}).participants


def test_one_person_under_two_writings_of_an_id_is_refused(tmp_path):
    pd.DataFrame({"participant_id": ["01", "sub-01", "02"]}).to_csv(tmp_path / "people.tsv", sep="\t", index=False)
    layout = layout_of(tables=[{"file": "people.tsv", "prefix": "sub-"}])
    with pytest.raises(InputProblems, match="sub-01: stands twice, with and without 'sub-'"):
        read_source_tables(layout, tmp_path)


def test_codes_for_missing_are_missing_in_columns_of_whole_numbers(folder):
    columns = {"memory": ["-1", "5", "-3.0", "7"], "deprivation": [-1, -2.5, 0.5, 3], "word": ["-1", "no", "x", "y"]}
    pd.DataFrame({"participant_id": NAMES, **columns}).to_csv(folder / "clinic.csv", index=False)
    layout = layout_of(tables=[{"file": "clinic.csv", "missing": [-1, -3]}])
    tables = read_source_tables(layout, folder)
    items, _ = phenotypes_of(tables, layout, NAMES, None, False)
    assert items["memory"].isna().tolist() == [True, False, True, False]
    assert items["deprivation"].tolist() == ["-1.0", "-2.5", "0.5", "3.0"]
    assert tables.values["word"].tolist() == ["-1", "no", "x", "y"]
    assert tables.decoded == ("clinic.csv: codes for a missing value (-1, -3) became missing, 2 in all.",)


def test_a_code_for_missing_that_is_no_whole_number_is_refused():
    with pytest.raises(InputProblems, match="missing: expected whole numbers such as -1, got 'none'"):
        layout_of(tables=[{"file": "clinic.csv", "missing": ["none"]}])
