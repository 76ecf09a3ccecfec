import nibabel as nib
import numpy as np
import pytest
from monai.transforms import ResizeWithPadOrCrop

from bundle.data.original_space import in_space_of


@pytest.mark.parametrize("shape", [(32, 32, 24), (31, 30, 23)])
@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR"])
def test_reconstruction_round_trip_to_the_inputs_space(shape, axes):
    rng = np.random.default_rng(0)
    canonical = nib.Nifti1Image(rng.random(shape).astype(np.float32), np.diag([6.0, 6.0, 6.0, 1.0]))
    transform = nib.orientations.ornt_transform(
        nib.io_orientation(canonical.affine), nib.orientations.axcodes2ornt(axes)
    )
    original = canonical.as_reoriented(transform)
    padded = ResizeWithPadOrCrop((32, 32, 24))(canonical.get_fdata(dtype=np.float32)[None])[0]
    back = in_space_of(np.asarray(padded), original)
    assert np.allclose(back.get_fdata(), original.get_fdata()) and np.allclose(back.affine, original.affine)
