from pathlib import Path

import pytest

from bundle.data.file_patterns import Image, find_files, in_order_of_number


@pytest.fixture
def folder(tmp_path):
    for name in (
        "sub-1/ses-2/sub-1_ses-2_acq-x_space-MNI_T1w.nii.gz",
        "sub-1/ses-10/sub-1_ses-10_space-MNI_T1w.nii.gz",
        "sub-2/ses-1/sub-1_ses-1_space-MNI_T1w.nii.gz",
        "sub-2/ses-1/sub-2_ses-1_space-T1w_T1w.nii.gz",
        "sub-3/deep/er/FA.nii.gz",
        "other [x]/sub-4.nii.gz",
        ".12.sub-5/FA.nii.gz",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


def test_placeholders_are_read_and_must_agree_with_themselves(folder):
    pattern = "{participant_id}/ses-{session}/{participant_id}_ses-{session}*_space-{space}_T1w.nii.gz"
    found = find_files(folder, pattern, {}, ["MNI"])
    assert set(found) == {Image("sub-1", "2", "MNI"), Image("sub-1", "10", "MNI")}


def test_folders_of_any_depth_and_fixed_names_with_brackets(folder):
    assert set(find_files(folder, "{participant_id}/**/FA.nii.gz", {})) == {Image("sub-3", "", "")}
    found = find_files(folder, "{derivatives}/{participant_id}.nii.gz", {"derivatives": str(folder / "other [x]")})
    assert set(found) == {Image("sub-4", "", "")}


def test_files_that_are_not_meant_and_other_ids_are_skipped(folder):
    pattern = "{participant_id}/ses-{session}/*.nii.gz"
    assert find_files(folder, pattern, {}, without=["*acq-x*", "*space-T1w*", "*ses-1_*"]).keys() == {
        Image("sub-1", "10", "")
    }
    assert find_files(folder, pattern, {}, ids="[0-9]+") == {}


def test_several_files_of_one_image_are_all_given(folder):
    (paths,) = find_files(folder, "{participant_id}/ses-1/*.nii.gz", {}).values()
    assert [path.name[:5] for path in paths] == ["sub-1", "sub-2"] and all(isinstance(path, Path) for path in paths)


def test_labels_are_ordered_by_number():
    assert in_order_of_number(["10", "2", "b1", "a"]) == ["2", "10", "a", "b1"]
