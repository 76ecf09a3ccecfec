import nibabel as nib
import numpy as np
import pytest

from bundle.data.problems import InputProblems
from bundle.mapping.precomputed import _ONE_READER, warped_points
from bundle.mapping.volume import FLIP, apply, grid_points
from tests.mapping.test_warp import GRID, SHAPE, known

sitk = pytest.importorskip("SimpleITK")


@pytest.fixture(params=[1, -1], ids=["neurological", "radiological"])
def t1w(request, tmp_path):
    affine = np.diag([request.param * 1.5, 1.5, 1.5, 1.0])
    affine[:3, 3] = [-request.param * 90, -100, -80]
    nib.save(nib.Nifti1Image(np.zeros((120, 140, 120), np.uint8), affine), tmp_path / "t1.nii.gz")
    return tmp_path / "t1.nii.gz"


def fsl_matrix(image):
    """Voxels to FSL's mm, as FSL documents it."""
    sizes = np.array(image.header.get_zooms()[:3], dtype=float)
    matrix = np.diag([*sizes, 1.0])
    if np.linalg.det(image.affine) > 0:
        matrix = (
            np.array([[-1, 0, 0, (image.shape[0] - 1) * sizes[0]], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ matrix
        )
    return matrix


@pytest.mark.parametrize("kind", ["relative", "absolute"])
@pytest.mark.parametrize("mirrored", [False, True])
def test_fsl_fields_are_read(tmp_path, t1w, kind, mirrored):
    warp, _ = known()
    affine = (
        GRID @ np.array([[-1, 0, 0, SHAPE[0] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]) if mirrored else GRID
    )
    points = warp.points[:, ::-1] if mirrored else warp.points
    reference = nib.Nifti1Image(np.zeros(SHAPE, np.float32), affine)
    image = nib.load(t1w)
    target = apply(fsl_matrix(image) @ np.linalg.inv(image.affine), points)
    voxels = np.stack(np.meshgrid(*[np.arange(size) for size in SHAPE], indexing="ij"))
    own = apply(fsl_matrix(reference), voxels)
    field = target - own if kind == "relative" else target
    nib.save(nib.Nifti1Image(np.moveaxis(field, 0, -1).astype(np.float32), affine), tmp_path / "warp.nii.gz")
    found = warped_points(tmp_path / "warp.nii.gz", SHAPE, GRID, t1w)
    np.testing.assert_allclose(found, warp.points, atol=2e-3)


def test_itk_composites_and_ants_fields_are_read(tmp_path, t1w):
    warp, _ = known()
    some = (slice(None), slice(None, None, 6), slice(None, None, 6), slice(None, None, 6))
    flip = np.array([-1, -1, 1.0])[:, None, None, None]
    array = np.moveaxis(flip * warp.displacement, 0, -1).transpose(2, 1, 0, 3).astype(np.float64)
    field = sitk.GetImageFromArray(array, isVector=True)
    lps = FLIP @ GRID
    field.SetSpacing(np.linalg.norm(lps[:3, :3], axis=0).tolist())
    field.SetDirection((lps[:3, :3] / np.linalg.norm(lps[:3, :3], axis=0)).ravel().tolist())
    field.SetOrigin(lps[:3, 3].tolist())
    sitk.WriteImage(field, str(tmp_path / "1Warp.nii.gz"))
    grid = warp.points[0][some[1:]].shape, GRID @ np.diag([6, 6, 6, 1])
    without_affine = grid_points(*grid) + warp.displacement[some]
    np.testing.assert_allclose(warped_points(tmp_path / "1Warp.nii.gz", *grid, t1w), without_affine, atol=1e-3)
    moved = FLIP @ warp.affine @ FLIP
    affine = sitk.AffineTransform(moved[:3, :3].ravel().tolist(), moved[:3, 3].tolist())
    composite = sitk.CompositeTransform([affine, sitk.DisplacementFieldTransform(field)])  # the last is applied first
    sitk.WriteTransform(composite, str(tmp_path / "from-T1w_to-MNI_xfm.h5"))
    found = warped_points(tmp_path / "from-T1w_to-MNI_xfm.h5", *grid, t1w)
    np.testing.assert_allclose(found, warp.points[some], atol=1e-3)


def test_other_files_are_refused(tmp_path, t1w):
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.float32), GRID), tmp_path / "image.nii.gz")
    with pytest.raises(InputProblems, match="three numbers for each voxel"):
        warped_points(tmp_path / "image.nii.gz", (4, 4, 4), GRID, t1w)
    (tmp_path / "x.h5").write_text("no transform")
    with pytest.raises(
        InputProblems, match=r"x\.h5: the warp cannot be read .*: copy or make it again; expected a transform of ITK"
    ):
        warped_points(tmp_path / "x.h5", (4, 4, 4), GRID, t1w)


def test_transforms_are_read_one_at_a_time_and_applied_to_the_whole_grid(tmp_path, t1w, monkeypatch):
    sitk.WriteTransform(sitk.TranslationTransform(3, (1.0, 2, 3)), str(tmp_path / "x.h5"))
    read, alone = sitk.ReadTransform, []
    monkeypatch.setattr(sitk, "ReadTransform", lambda file: (alone.append(_ONE_READER.locked()), read(file))[1])
    monkeypatch.setattr(sitk.Transform, "TransformPoint", None)  # a point at a time takes fifty times as long
    moved = warped_points(tmp_path / "x.h5", SHAPE, GRID, t1w)
    np.testing.assert_allclose(moved[:, 3, 4, 5], grid_points(SHAPE, GRID)[:, 3, 4, 5] + [-1, -2, 3])
    assert alone == [True]
