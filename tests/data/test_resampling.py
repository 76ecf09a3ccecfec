import nibabel as nib
import numpy as np
import pytest

from bundle.data.problems import InputProblems
from bundle.data.resampling import common_grid, resample
from bundle.data.template import load_brain_template

SIZE = (32, 32, 24)


def test_the_grid_of_the_synthetic_cohort_is_one_of_them(tiny_cohort):
    assert np.allclose(common_grid(SIZE, 6.0), load_brain_template(6.0).affine)


def test_the_same_grid_changes_nothing_and_another_orientation_neither():
    affine = common_grid(SIZE, 6.0)
    volume = np.random.default_rng(0).random(SIZE, dtype=np.float32)
    assert np.allclose(resample(volume, affine, SIZE, affine), volume, atol=1e-6)
    turned = nib.Nifti1Image(volume, affine).as_reoriented(np.array([[0, -1], [1, 1], [2, 1]]))
    assert np.allclose(resample(turned.get_fdata(), turned.affine, SIZE, affine), volume, atol=1e-5)


def test_a_fine_image_keeps_its_values_and_its_place():
    fine = common_grid((128, 128, 96), 1.5)
    points = nib.affines.apply_affine(fine, np.stack(np.meshgrid(*map(np.arange, (128, 128, 96)), indexing="ij"), -1))

    def blob(at):
        return np.exp(-np.sum((at - np.array([10.0, -20.0, 5.0])) ** 2, axis=-1) / (2 * 20.0**2))

    grid = common_grid((64, 64, 48), 3.0)
    expected = blob(
        nib.affines.apply_affine(grid, np.stack(np.meshgrid(*map(np.arange, (64, 64, 48)), indexing="ij"), -1))
    )
    assert np.abs(resample(blob(points), fine, (64, 64, 48), grid) - expected).max() < 0.01


def test_noise_of_a_fine_image_is_averaged_not_picked():
    fine = common_grid((128, 128, 96), 1.5)
    noise = np.random.default_rng(0).standard_normal((128, 128, 96))
    made = resample(noise, fine, (32, 32, 24), common_grid(SIZE, 6.0))
    assert made[4:-4, 4:-4, 4:-4].std() < 0.25


def test_a_grid_that_cuts_the_brain_is_refused():
    with pytest.raises(InputProblems, match="64 x 64 x 48 voxels of 2 mm are 128 x 128 x 96 mm"):
        common_grid((64, 64, 48), 2.0)
