import nibabel as nib
import numpy as np
import pytest

from bundle.data.grids import SAME_GRID_MM, corners_apart_mm

HEAD = (182, 218, 182)
AFFINE = np.diag([-1.0, 1.0, 1.0, 1.0])
AFFINE[:3, 3] = 90, -126, -72


def test_corners_lie_apart_by_shift_and_by_what_a_larger_voxel_or_a_turn_adds_up_to():
    shifted, larger, turned = AFFINE.copy(), AFFINE @ np.diag([1.019, 1.019, 1.019, 1]), AFFINE.copy()
    shifted[:3, 3] += 3, 4, 0
    turned[:3, :3] = nib.eulerangles.euler2mat(np.pi) @ AFFINE[:3, :3]
    assert corners_apart_mm(HEAD, AFFINE, AFFINE) == 0
    assert corners_apart_mm(HEAD, AFFINE, shifted) == pytest.approx(5)
    assert corners_apart_mm(HEAD, AFFINE, larger) == pytest.approx(0.019 * np.linalg.norm([181, 217, 181]))
    assert corners_apart_mm(HEAD, AFFINE, turned) == pytest.approx(2 * np.linalg.norm([181, 217]))


def test_what_a_header_keeps_is_the_same_grid_and_half_a_fine_voxel_is_another():
    rng = np.random.default_rng(0)
    for _ in range(200):
        angles = np.array([np.pi, 0, 0]) + rng.normal(0, [1e-3, 0.2, 0.2])  # where quaternions are least exact
        affine = nib.affines.from_matvec(nib.eulerangles.euler2mat(*angles), rng.uniform(-130, 130, 3))
        image = nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), affine)
        image.set_qform(affine, 1)
        for kept in (image.get_qform(), affine.astype(np.float32)):
            assert corners_apart_mm(HEAD, affine, kept) < SAME_GRID_MM
    fine = np.diag([0.7, 0.7, 0.7, 1.0])
    moved = nib.affines.from_matvec(fine[:3, :3], [0.35, 0.35, 0.35])
    assert corners_apart_mm((260, 311, 260), fine, moved) > SAME_GRID_MM
