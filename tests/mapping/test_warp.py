import numpy as np
import pytest

from bundle.mapping.volume import Volume, apply, from_itk, grid_points, to_itk
from bundle.mapping.warp import Warp

sitk = pytest.importorskip("SimpleITK")
SHAPE = (64, 60, 56)
SPACING = np.array([2.0, 2.5, 2.2])
GRID = np.diag([*SPACING, 1.0])
GRID[:3, 3] = [-60, -70, -50]
AFFINE = np.array([[1.08, 0.05, 0, 4], [-0.04, 0.97, 0.02, -3], [0, 0.03, 1.04, 6], [0, 0, 0, 1.0]])
WAVES, HEIGHTS = 2 * np.pi / np.array([150.0, 170, 140]), np.array([4.0, 3.0, 3.5])


def known(amplitude=1.0):
    """u_i = h_i sin(w_i x_(i+1)) + 0.03 x_i: its Jacobian is known at every point."""
    x = grid_points(SHAPE, GRID)
    heights = amplitude * HEIGHTS
    u = np.stack([heights[i] * np.sin(WAVES[i] * x[(i + 1) % 3]) + 0.03 * x[i] for i in range(3)])
    slopes = [heights[i] * WAVES[i] * np.cos(WAVES[i] * x[(i + 1) % 3]) for i in range(3)]
    # the matrix has 1.03 on its diagonal and one slope in each row
    return Warp(u.astype(np.float32), GRID, AFFINE), 1.03**3 + slopes[0] * slopes[1] * slopes[2]


def test_jacobian_is_that_of_an_analytic_warp():
    warp, expected = known()
    inner = (slice(1, -1),) * 3
    assert np.abs(warp.jacobian - expected)[inner].max() < 1e-3
    assert warp.affine_determinant == pytest.approx(np.linalg.det(AFFINE[:3, :3]))


def test_jacobian_is_that_of_itk():
    warp, _ = known()
    field = sitk.GetImageFromArray(warp.displacement.transpose(3, 2, 1, 0).astype(np.float64), isVector=True)
    field.SetSpacing(SPACING.tolist())  # its axes are the world's, since ITK's filter leaves directions aside
    theirs = from_itk(sitk.DisplacementFieldJacobianDeterminant(field))
    assert np.abs(theirs - warp.jacobian)[1:-1, 1:-1, 1:-1].max() < 1e-4


def test_the_way_back_is_the_inverse():
    warp, _ = known()
    some = (slice(None), slice(10, -10, 4), slice(10, -10, 4), slice(10, -10, 4))
    own = grid_points(SHAPE, GRID)
    back = warp.template_points(warp.points[some])
    assert np.linalg.norm(back - own[some], axis=0).max() < 0.02


def test_affine_part_is_found_again():
    warp, _ = known(amplitude=0.0)
    found = Warp.of_points(warp.points, GRID, np.ones(SHAPE))
    np.testing.assert_allclose(found.affine[:3, :3], AFFINE[:3, :3] * 1.03, atol=1e-4)
    np.testing.assert_allclose(found.jacobian, 1, atol=1e-3)


def test_folds_are_smoothed_away_and_counted():
    warp, _ = known()
    torn = warp.displacement.copy()
    torn[0, 30:33, 28:31, 28:31] += np.array([9.0, 0, -9.0])[:, None, None]
    folded = warp.with_displacement(torn)
    assert (folded.jacobian <= 0).any()
    mended = folded.unfolded()
    assert (mended.jacobian > 0).all() and mended.n_unfolded == int((folded.jacobian <= 0).sum())
    far = np.abs(mended.displacement - warp.displacement)[:, :15]
    assert far.max() < 0.1  # other places are left as they were
    assert warp.unfolded().n_unfolded == 0


def test_images_keep_their_place_in_itk():
    oblique = AFFINE.copy()
    oblique[:3, :3] = np.linalg.qr(AFFINE[:3, :3])[0] @ np.diag(SPACING)
    rng = np.random.default_rng(0)
    volume = Volume(rng.random((6, 7, 8)).astype(np.float32), oblique)
    image = to_itk(volume)
    np.testing.assert_array_equal(from_itk(image), volume.voxels)
    ras = apply(oblique, np.array([[2.0], [3.0], [5.0]]))[:, 0]
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint((2, 3, 5)), ras * [-1, -1, 1], atol=1e-4)


def test_values_at_voxel_centres_are_the_voxels():
    volume = Volume(np.random.default_rng(0).random(SHAPE).astype(np.float32), GRID)
    np.testing.assert_allclose(volume.at(grid_points(SHAPE, GRID)), volume.voxels, atol=1e-5)
    assert volume.at(np.array([[1e4], [0], [0]]))[0] == 0
