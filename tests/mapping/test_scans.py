import nibabel as nib
import numpy as np
import pytest

from bundle.data.problems import InputProblems
from bundle.mapping.scans import find_scans


def person(folder, affine):
    """A T1w image at 2 mm, and a mask of its shape with that affine."""
    files = {"T1w": folder / "t1.nii.gz", "T1w_mask": folder / "mask.nii.gz"}
    nib.save(nib.Nifti1Image(np.ones((4, 5, 6), np.float32), np.diag([2.0, 2, 2, 1])), files["T1w"])
    nib.save(nib.Nifti1Image(np.ones((4, 5, 6), np.uint8), affine), files["T1w_mask"])
    return {name: str(file) for name, file in files.items()}


def found(scans=None, **options):
    settings = dict.fromkeys(("dataset_dir", "derivatives", "files", "participant_id", "participant_ids", "session"))
    return find_scans(scans or {"name": "own", "files": {"T1w": ["{participant_id}.nii.gz"]}}, **(settings | options))


@pytest.mark.parametrize("wanted", ["100307", 100307, ["100307"], [100307]])
def test_participants_are_one_id_or_a_list(tmp_path, wanted):
    for name in ("100307", "100408"):
        (tmp_path / name).mkdir()
        nib.save(nib.Nifti1Image(np.ones((4, 5, 6), np.float32), np.eye(4)), tmp_path / name / "t1.nii.gz")
    scans = {"name": "own", "files": {"T1w": ["{participant_id}/t1.nii.gz"]}}
    people = found(scans, dataset_dir=str(tmp_path), participant_ids=wanted)
    assert [person.participant_id for person in people] == ["100307"]
    with pytest.raises(InputProblems, match=r"no participant is called 7\."):
        found(scans, dataset_dir=str(tmp_path), participant_ids=7)


def test_scans_without_a_name_are_asked_for_one(tmp_path):
    with pytest.raises(InputProblems, match="no name"):
        found({"files": {"T1w": ["{participant_id}.nii.gz"]}}, dataset_dir=str(tmp_path))


def test_a_mask_that_lies_elsewhere_is_refused(tmp_path):
    shifted, flipped = np.diag([2.0, 2, 2, 1]), np.diag([-2.0, 2, 2, 1])
    assert found(files=person(tmp_path, shifted + 1e-4), participant_id="a")
    shifted[0, 3] = 3
    for affine in (shifted, flipped):
        with pytest.raises(InputProblems, match=r"mask.nii.gz: lies elsewhere than .*t1.nii.gz.*resample"):
            found(files=person(tmp_path, affine), participant_id="a")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"session": "2"}, "--session 2 chooses among scans"),
        ({"registration": "demons"}, "--registration demons does not read"),
    ],
)
def test_options_that_would_do_nothing_beside_files_are_refused(tmp_path, options, words):
    files = {"T1w": person(tmp_path, np.diag([2.0, 2, 2, 1]))["T1w"]}
    (tmp_path / "warp.h5").touch()
    if "registration" in options:
        files["warp"] = str(tmp_path / "warp.h5")
    with pytest.raises(InputProblems, match=words):
        found(files=files, participant_id="a", **options)


def two_sessions(folder):
    for name, session in (("a", 1), ("b", 1), ("b", 2)):
        inside = folder / f"sub-{name}" / f"ses-{session}"
        inside.mkdir(parents=True)
        nib.save(nib.Nifti1Image(np.ones((4, 5, 6), np.float32), np.eye(4)), inside / "t1.nii.gz")
    return {"name": "own", "files": {"T1w": "sub-{participant_id}/ses-{session}/t1.nii.gz"}}


def test_sessions_may_be_numbers_and_who_lacks_one_is_told(tmp_path, caplog):
    with caplog.at_level("WARNING"):
        people = found(two_sessions(tmp_path), dataset_dir=str(tmp_path), session=2)
    assert [person.participant_id for person in people] == ["b"]
    assert "1 participants have no scan of session 2 and are left out: a." in caplog.text
    with pytest.raises(InputProblems, match=r"--session typo: no participant has it: sessions are 1, 2\."):
        found(
            {"name": "own", "files": {"T1w": "sub-{participant_id}/ses-{session}/t1.nii.gz"}},
            dataset_dir=str(tmp_path),
            session="typo",
        )


def test_a_mask_of_several_volumes_is_refused(tmp_path):
    files = person(tmp_path, np.diag([2.0, 2, 2, 1]))
    nib.save(nib.Nifti1Image(np.ones((4, 5, 6, 2), np.uint8), np.diag([2.0, 2, 2, 1])), files["T1w_mask"])
    with pytest.raises(InputProblems, match=r"T1w_mask, .*expected the grid \(4, 5, 6\)"):
        found(files=files, participant_id="a")
