import nibabel as nib
import numpy as np
import pytest

from bundle.data.problems import InputProblems
from bundle.mapping.diffusion import masked_signals, mean_unweighted
from tests.mapping.signals import scheme

GRADIENTS = scheme((3, 0), (6, 1000))


@pytest.fixture
def voxels():
    return np.full((4, 4, 4, 9), 100, dtype=np.float32)


def written(voxels, tmp_path):
    path = tmp_path / "dwi.nii.gz"
    nib.save(nib.Nifti1Image(voxels, np.diag([-2.0, 2, 2, 1])), path)
    return path


@pytest.mark.parametrize("nothing", [0, np.nan])
def test_volumes_that_hold_nothing_are_named(voxels, tmp_path, nothing):
    voxels[..., [4, 7]] = nothing
    with pytest.raises(InputProblems, match="volumes 4, 7 "):
        masked_signals(written(voxels, tmp_path), np.ones((4, 4, 4), dtype=bool))


def test_what_is_missing_does_not_lower_the_mean_without_weighting(voxels, tmp_path):
    voxels[0, 0, 0, 0] = np.nan
    voxels[1, 1, 1, 2] = 0
    assert (mean_unweighted(written(voxels, tmp_path), GRADIENTS).voxels == 100).all()
