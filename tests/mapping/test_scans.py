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
    settings = dict.fromkeys(("dataset_dir", "derivatives", "files", "participant_id", "participants", "session"))
    return find_scans(scans or {"name": "own", "files": {"T1w": ["{id}.nii.gz"]}}, **(settings | options))


def test_a_mask_that_lies_elsewhere_is_refused(tmp_path):
    shifted, flipped = np.diag([2.0, 2, 2, 1]), np.diag([-2.0, 2, 2, 1])
    assert found(files=person(tmp_path, shifted + 1e-4), participant_id="a")
    shifted[0, 3] = 3
    for affine in (shifted, flipped):
        with pytest.raises(InputProblems, match=r"mask.nii.gz: lies elsewhere than .*t1.nii.gz.*resample"):
            found(files=person(tmp_path, affine), participant_id="a")
