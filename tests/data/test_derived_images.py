import nibabel as nib
import numpy as np
import pytest

from bundle.data.check import inspect_image
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


@pytest.fixture
def with_nan_outside(tmp_path):
    """An image that is NaN outside the brain, and its mask."""
    mask = np.zeros((10, 10, 10), np.uint8)
    mask[2:8, 2:8, 2:8] = 1
    values = np.where(mask, np.arange(1000, dtype=np.float32).reshape(mask.shape), np.nan).astype(np.float32)
    for name, volume in (("t1", values), ("mask", mask)):
        nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / f"{name}.nii.gz")
    return Recipe(tmp_path / "t1.nii.gz", tmp_path / "made.nii.gz", tmp_path / "mask.nii.gz")


def test_nan_outside_the_mask_becomes_0(with_nan_outside):
    make_image(with_nan_outside, None)
    made, brain = (nib.load(f).get_fdata() for f in (with_nan_outside.target, with_nan_outside.mask))
    assert np.isfinite(made).all() and np.array_equal(made != 0, brain > 0)


def test_the_check_looks_inside_the_mask(with_nan_outside):
    job = ("a", "T1w", str(with_nan_outside.source))
    assert "in 784 of its voxels" in inspect_image(job).problem.reason
    assert not inspect_image(job, mask=with_nan_outside.mask).problem
    nib.save(nib.Nifti1Image(np.ones((10, 10, 9), np.uint8), np.eye(4)), with_nan_outside.mask)
    assert (
        "mask.nii.gz is on another grid than the image" in inspect_image(job, mask=with_nan_outside.mask).problem.reason
    )


def test_images_of_another_version_of_the_recipe_are_made_again(with_nan_outside, monkeypatch):
    make_image(with_nan_outside, None)
    before = nib.load(with_nan_outside.target).header["descrip"].item()
    monkeypatch.setattr("bundle.data.derived_images.RECIPE_VERSION", 1000)
    make_image(with_nan_outside, None)
    assert nib.load(with_nan_outside.target).header["descrip"].item() != before


def test_a_registration_that_failed_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(InputProblems, match=r"11 voxels of .*jac\.nii\.gz have determinants outside"):
        make_image(recipe(tmp_path, 11), None)
    assert not (tmp_path / "made.nii.gz").exists()
