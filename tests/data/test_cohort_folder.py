import shutil

import pytest

from bundle.data.cohort_folder import items_from_folder
from bundle.data.problems import InputProblems
from tests.conftest import PATTERNS

MODALITIES = ["T1w", "JAC"]


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


@pytest.mark.parametrize("any_subset", [False, True])
def test_a_link_to_a_file_that_was_not_fetched_is_no_missing_map(cohort, any_subset):
    file = cohort / "sub-0002" / "sub-0002_JAC.nii.gz"
    file.unlink()
    file.symlink_to("../.git/annex/objects/key.nii.gz")
    with pytest.raises(
        InputProblems, match=r"sub-0002_JAC\.nii\.gz is a link to .*, which is not there: fetch that file"
    ) as caught:
        items_from_folder(cohort, PATTERNS, MODALITIES, any_subset)
    assert len(caught.value.problems) == 1


def test_unknown_modality_is_named_with_those_known(tiny_cohort):
    with pytest.raises(InputProblems, match=r"Unknown modality 'T2w': .*'FA'"):
        items_from_folder(tiny_cohort, PATTERNS, ["T1w", "T2w"])


@pytest.mark.parametrize(
    ("modalities", "words"), [("T1w", "Expected a list"), ([], "Expected a list"), (["FA", "FA"], "twice")]
)
def test_modalities_that_are_no_list_of_different_names_are_refused(tiny_cohort, modalities, words):
    with pytest.raises(InputProblems, match=words):
        items_from_folder(tiny_cohort, PATTERNS, modalities)


@pytest.mark.parametrize("pattern", ["{participant_id}/{session}/t1.nii.gz", "{participant_id}/{t1.nii.gz"])
def test_patterns_with_other_placeholders_are_refused(tiny_cohort, pattern):
    with pytest.raises(InputProblems, match=r"may hold {participant_id}, nothing else in braces"):
        items_from_folder(tiny_cohort, PATTERNS | {"T1w": pattern}, ["T1w"])


@pytest.mark.parametrize("modalities", [["T1w"], ["T1w", "FA"]])
def test_other_maps_of_a_known_person_are_nobody_elses(tmp_path, modalities):
    for name in ("s1", "s2"):
        (tmp_path / f"{name}.nii.gz").touch()
        (tmp_path / f"{name}_FA.nii.gz").touch()
    patterns = {"T1w": "{participant_id}.nii.gz", "FA": "{participant_id}_FA.nii.gz"}
    (tmp_path / "participants.tsv").write_text("participant_id\ns1\ns2\n")
    assert len(items_from_folder(tmp_path, patterns, modalities)) == 2
    (tmp_path / "participants.tsv").write_text("participant_id\ns1\n")
    with pytest.raises(InputProblems, match=r"s2: has files \(T1w"):
        items_from_folder(tmp_path, patterns, modalities)


@pytest.mark.parametrize("pattern", ["/data/{participant_id}_T1w.nii.gz", "../{participant_id}_T1w.nii.gz"])
def test_patterns_that_leave_the_folder_are_refused(tiny_cohort, pattern):
    with pytest.raises(InputProblems, match="must start in the cohort folder"):
        items_from_folder(tiny_cohort, PATTERNS | {"T1w": pattern}, ["T1w"])
