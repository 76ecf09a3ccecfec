import nibabel as nib
import numpy as np
import pytest

from bundle.data.derived_images import Recipe, make_image
from bundle.data.layouts import JacobianKind
from bundle.data.problems import InputProblems

RAW = JacobianKind(kind="raw", affine="excluded")


def recipe(folder, n_folded):
    """A Jacobian of 1000 voxels of which some are folds."""
    values = np.full((10, 10, 10), 1.1, np.float32)
    values.flat[:n_folded] = -0.5
    nib.save(nib.Nifti1Image(values, np.eye(4)), folder / "jac.nii.gz")
    return Recipe(folder / "jac.nii.gz", folder / "made.nii.gz", None, RAW, None, None)


def test_single_folds_are_cut_off_and_counted(tmp_path):
    assert make_image(recipe(tmp_path, 10), None) == 10
    made = nib.load(tmp_path / "made.nii.gz").get_fdata()
    assert made.min() == pytest.approx(np.log(0.01), abs=1e-6) and made.max() == pytest.approx(np.log(1.1), abs=1e-6)


def test_a_registration_that_failed_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(InputProblems, match=r"11 voxels of .*jac\.nii\.gz have determinants outside"):
        make_image(recipe(tmp_path, 11), None)
    assert not (tmp_path / "made.nii.gz").exists()
