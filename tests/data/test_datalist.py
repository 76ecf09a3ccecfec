import json
import shutil

import pandas as pd
import pytest

from bundle.data.datalist import (
    items_from_datalist,
    items_from_folder,
    read_participants,
    shared_files,
    split_by_family,
)
from bundle.data.problems import InputProblems
from tests.conftest import PATTERNS

MODALITIES = ["T1w", "JAC"]


@pytest.fixture
def cohort(tiny_cohort, tmp_path):
    """A copy to break."""
    copy = tmp_path / "cohort"
    shutil.copytree(tiny_cohort, copy, ignore=shutil.ignore_patterns("truth"))
    return copy


def rewrite(cohort, change):
    table = pd.read_csv(cohort / "participants.tsv", sep="\t")
    change(table).to_csv(cohort / "participants.tsv", sep="\t", index=False)


def test_whole_families_are_split(tiny_cohort):
    items = items_from_folder(tiny_cohort, PATTERNS, MODALITIES)
    sections = split_by_family(items, 0.2, 0.2, seed=0)
    families = [{item["family_id"] for item in sections[name]} for name in sections]
    assert sum(len(members) for members in sections.values()) == len(items)
    assert not families[0] & families[1] and not families[0] & families[2] and not families[1] & families[2]


def test_split_follows_the_seed_only(tiny_cohort):
    items = items_from_folder(tiny_cohort, PATTERNS, MODALITIES)
    assert split_by_family(items, 0.2, 0.2, 0) == split_by_family(items, 0.2, 0.2, 0)
    assert split_by_family(items, 0.2, 0.2, 0) != split_by_family(items, 0.2, 0.2, 1)


def test_people_without_family_are_their_own(cohort):
    rewrite(cohort, lambda table: table.drop(columns="family_id"))
    assert read_participants(cohort)["family_id"].is_unique


def test_too_few_families_are_refused(tiny_cohort):
    items = [item | {"family_id": "one"} for item in items_from_folder(tiny_cohort, PATTERNS, MODALITIES)]
    with pytest.raises(ValueError, match="1 families cannot fill"):
        split_by_family(items, 0.2, 0.2, 0)


def test_all_problems_of_a_folder_come_in_one_list(cohort):
    (cohort / "sub-0002" / "sub-0002_JAC.nii.gz").unlink()
    shutil.rmtree(cohort / "sub-0003")
    shutil.copytree(cohort / "sub-0001", cohort / "sub-9999")
    (cohort / "sub-9999" / "sub-0001_T1w.nii.gz").rename(cohort / "sub-9999" / "sub-9999_T1w.nii.gz")
    with pytest.raises(InputProblems) as caught:
        items_from_folder(cohort, PATTERNS, MODALITIES)
    text = str(caught.value)
    assert "sub-0002: no JAC" in text
    assert "sub-0003: none of its files" in text
    assert "sub-9999: has files (T1w, JAC) but no row" in text


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


def test_unknown_modality_is_named_with_those_known(tiny_cohort):
    with pytest.raises(InputProblems, match=r"Unknown modality 'T2w': .*'FA'"):
        items_from_folder(tiny_cohort, PATTERNS, ["T1w", "T2w"])


def datalist(tmp_path, tiny_cohort, sections):
    file = tmp_path / "datalist.json"
    content = {}
    for section, people in sections.items():
        content[section] = [
            {
                "participant_id": name,
                "family_id": family,
                **{m: str(tiny_cohort / PATTERNS[m].format(participant_id=name)) for m in MODALITIES},
            }
            for name, family in people
        ]
    file.write_text(json.dumps(content))
    return file


def test_monai_datalist_is_read_with_its_sections(tmp_path, tiny_cohort):
    file = datalist(tmp_path, tiny_cohort, {"training": [("sub-0001", "a")], "test": [("sub-0002", "b")]})
    sections = items_from_datalist(file, MODALITIES)
    assert [item["participant_id"] for item in sections["test"]] == ["sub-0002"]
    assert sections["validation"] == []


def test_family_in_two_sections_is_refused(tmp_path, tiny_cohort):
    file = datalist(tmp_path, tiny_cohort, {"training": [("sub-0001", "a")], "test": [("sub-0002", "a")]})
    with pytest.raises(InputProblems, match="Family a is in test and training"):
        items_from_datalist(file, MODALITIES)


def test_datalist_problems_come_in_one_list(tmp_path, tiny_cohort):
    file = datalist(tmp_path, tiny_cohort, {"training": [("sub-0001", "a"), ("sub-7777", "b")], "holdout": []})
    with pytest.raises(InputProblems) as caught:
        items_from_datalist(file, [*MODALITIES, "NDI"])
    text = str(caught.value)
    assert "unknown section 'holdout'" in text and "sub-7777: T1w is not at" in text and "sub-0001: no NDI" in text


def test_missing_family_and_other_keys_of_a_datalist_are_fine(tmp_path, tiny_cohort):
    file = datalist(tmp_path, tiny_cohort, {"training": [("sub-0001", None)], "test": [("sub-0002", None)]})
    content = json.loads(file.read_text()) | {"name": "mine", "numTraining": 1}
    file.write_text(json.dumps(content))
    sections = items_from_datalist(file, MODALITIES)
    assert sections["training"][0]["family_id"] != sections["test"][0]["family_id"]


def test_malformed_datalist_is_refused(tmp_path):
    file = tmp_path / "list.json"
    file.write_text('{"training": [')
    with pytest.raises(InputProblems, match="Not a JSON file"):
        items_from_datalist(file, MODALITIES)


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
    with pytest.raises(InputProblems, match="lists nobody"):
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


@pytest.mark.parametrize(
    ("modalities", "words"), [("T1w", "Expected a list"), ([], "Expected a list"), (["FA", "FA"], "twice")]
)
def test_modalities_that_are_no_list_of_different_names_are_refused(tiny_cohort, modalities, words):
    with pytest.raises(InputProblems, match=words):
        items_from_folder(tiny_cohort, PATTERNS, modalities)


def test_one_file_for_two_images_is_named(tiny_cohort):
    items = items_from_folder(tiny_cohort, PATTERNS, MODALITIES)
    items[1]["T1w"] = items[0]["T1w"]
    (problem,) = shared_files(items, MODALITIES)
    assert "sub-0001 T1w and sub-0002 T1w" in problem


@pytest.mark.parametrize(
    "entry", ["sub-0001", {"participant_id": None}, {"participant_id": "a", "T1w": None, "JAC": ["x"]}]
)
def test_malformed_entries_of_a_datalist_are_refused(tmp_path, entry):
    file = tmp_path / "list.json"
    file.write_text(json.dumps({"training": [entry], "validation": None}))
    with pytest.raises(InputProblems):
        items_from_datalist(file, MODALITIES)
