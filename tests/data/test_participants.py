import pandas as pd
import pytest

from bundle.data.participants import read_participants
from bundle.data.problems import InputProblems


def rewrite(cohort, change):
    table = pd.read_csv(cohort / "participants.tsv", sep="\t")
    change(table).to_csv(cohort / "participants.tsv", sep="\t", index=False)


def test_people_without_family_are_their_own(cohort):
    rewrite(cohort, lambda table: table.drop(columns="family_id"))
    assert read_participants(cohort)["family_id"].is_unique


def test_ids_that_stand_twice_are_named(cohort):
    rewrite(cohort, lambda table: pd.concat([table, table.iloc[[4]]]))
    with pytest.raises(InputProblems, match="'sub-0005' stands in 2 rows"):
        read_participants(cohort)


def test_table_without_id_column_is_refused(cohort):
    rewrite(cohort, lambda table: table.rename(columns={"participant_id": "subject"}))
    with pytest.raises(InputProblems, match="Expected a column participant_id"):
        read_participants(cohort)


def test_folder_without_table_is_refused(tmp_path):
    with pytest.raises(InputProblems, match=r"participants.tsv is missing"):
        read_participants(tmp_path)


@pytest.mark.parametrize("name", ["../sub-0001", "a/b", "sub 1", "*"])
def test_ids_that_are_no_plain_names_are_refused(cohort, name):
    rewrite(cohort, lambda table: table.assign(participant_id=[name, *table["participant_id"][1:]]))
    with pytest.raises(InputProblems, match="must be letters, digits"):
        read_participants(cohort)


def test_ids_keep_their_leading_zeros(cohort):
    rewrite(cohort, lambda table: table.assign(participant_id=[f"{n:03d}" for n in range(len(table))]))
    assert list(read_participants(cohort)["participant_id"][:2]) == ["000", "001"]


def test_empty_table_is_refused(cohort):
    rewrite(cohort, lambda table: table.iloc[:0])
    with pytest.raises(InputProblems, match="lists no participant"):
        read_participants(cohort)


@pytest.mark.parametrize("content", [b"", b"participant_id\tfamily_id\na\tb\tc\td\n\xff\xfe"])
def test_table_that_cannot_be_read_is_named(cohort, content):
    (cohort / "participants.tsv").write_bytes(content)
    with pytest.raises(InputProblems, match="Not a tab-separated table"):
        read_participants(cohort)


def test_comma_separated_table_is_recognised(cohort):
    (cohort / "participants.tsv").write_text("participant_id,family_id\na,b\n")
    with pytest.raises(InputProblems, match="separated by commas"):
        read_participants(cohort)


@pytest.mark.parametrize("column", ["Family_ID", "familyid", "FAMILY ID"])
def test_families_under_another_spelling_are_refused_with_the_rename(cohort, column):
    rewrite(cohort, lambda table: table.rename(columns={"family_id": column}))
    with pytest.raises(InputProblems, match=f"'{column}' would not be read as families: rename it to family_id"):
        read_participants(cohort)
    rewrite(cohort, lambda table: table.assign(family_id=table[column]))
    assert not read_participants(cohort)["family_id"].is_unique
