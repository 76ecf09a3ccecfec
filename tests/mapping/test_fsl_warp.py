"""FNIRT's coefficients against a known displacement, and against what FSL made of such a file."""

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.interpolate import BSpline

from bundle.data.problems import InputProblems
from bundle.mapping.fsl_warp import coefficient_points, reference_grid, to_fsl
from bundle.mapping.precomputed import check_warp, warped_points
from bundle.mapping.volume import apply, grid_points
from bundle.mapping.warp import Warp

SHAPE, SIZES, KNOTS = (91, 109, 91), (2.0, 2.0, 2.0), 12
MNI = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])
needs_fslpy = pytest.mark.skipif(find_spec("fsl") is None, reason="no fslpy: pip install -e '.[prepare]'")
HEAD_TO_MNI = np.array([[1.05, 0.03, 0, 4], [-0.02, 0.98, 0.01, -6], [0, 0.02, 1.03, 3], [0, 0, 0, 1.0]])
"""FLIRT's matrix: FSL's mm of the head to those of the template."""


@pytest.fixture
def t1w(tmp_path):
    affine = np.array([[1.1, 0, 0, -95], [0, 1.1, 0, -120], [0, 0, 1.1, -80], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(np.zeros((170, 200, 170), np.uint8), affine), tmp_path / "t1.nii.gz")
    return tmp_path / "t1.nii.gz"


def write_coefficients(file, values, shape=SHAPE, sizes=SIZES, matrix=HEAD_TO_MNI, intent=2007):
    """As FNIRT does: the reference's grid in the q-form's offsets and the intent, FLIRT's matrix in the s-form."""
    image = nib.Nifti1Image(values.astype(np.float32), None)
    image.header["intent_code"] = intent
    for number, (size, axis, count) in enumerate(zip(sizes, "xyz", shape, strict=True), start=1):
        image.header[f"intent_p{number}"], image.header[f"qoffset_{axis}"] = size, count
    image.header.set_zooms((KNOTS, KNOTS, KNOTS, 1))
    image.set_sform(matrix, 1, update_affine=False)
    nib.save(image, file)
    return file


def random_coefficients():
    counts = [-(-(size + 1) // KNOTS) + 2 for size in SHAPE]
    return np.random.default_rng(0).uniform(-2, 2, (*counts, 3))


def spline_sum(values, slope_along=None):
    """`(3, D, H, W)` sum of FNIRT's cubic splines at the voxels, or its slope along an axis.

    The first spline is centred one knot before the first voxel; where FNIRT writes too few for the last, it takes 0.
    """
    padded = np.pad(values, [(0, 1)] * 3 + [(0, 0)])
    tables = []
    for axis, (size, count) in enumerate(zip(SHAPE, padded.shape[:3], strict=True)):
        knots = KNOTS * (np.arange(count + 4) - 3.0)
        splines = BSpline(knots, np.eye(count), 3)
        tables.append((splines.derivative() if axis == slope_along else splines)(np.arange(size)))
    return np.einsum("ai,bj,ck,ijkn->nabc", *tables, padded, optimize=True)


@needs_fslpy
def test_coefficients_are_the_splines_and_the_affine_that_fnirt_documents(tmp_path, t1w):
    values = random_coefficients()
    file = write_coefficients(tmp_path / "coef.nii.gz", values)
    own, image = grid_points(SHAPE, MNI), nib.load(t1w)
    in_fsl = apply(to_fsl(nib.Nifti1Image(np.zeros(SHAPE, np.uint8), MNI)) @ np.linalg.inv(MNI), own)
    source = apply(np.linalg.inv(HEAD_TO_MNI), in_fsl) + spline_sum(values)
    expected = apply(image.affine @ np.linalg.inv(to_fsl(image)), source)
    points = warped_points(file, SHAPE, MNI, t1w)
    np.testing.assert_allclose(points, expected, atol=1e-3)
    # the determinants of that map are known at every voxel
    slopes = np.stack([spline_sum(values, axis) for axis in range(3)], axis=1) / SIZES[0]
    truth = np.linalg.det(np.linalg.inv(HEAD_TO_MNI)[:3, :3] + np.moveaxis(slopes, (0, 1), (-2, -1)))
    warp = Warp.of_points(points, MNI, np.ones(SHAPE))
    error = (warp.jacobian * warp.affine_determinant - truth)[1:-1, 1:-1, 1:-1]
    assert truth.min() > 0.3 and np.abs(error).max() < 1e-3


@needs_fslpy
def test_what_fsl_made_of_a_coefficient_file_is_found(tmp_path):
    """fslpy ships coefficients, and the dense field that fnirtfileutils made of them with the affine in it."""
    folder = Path(str(files("fsl.tests.test_transform"))) / "testdata" / "nonlinear"
    reference, t1w = folder / "ref.nii.gz", folder / "src.nii.gz"
    image = nib.load(reference)
    grid = image.shape, image.affine
    found = warped_points(folder / "coefficientfield.nii.gz", *grid, t1w, reference)
    expected = warped_points(folder / "displacementfield.nii.gz", *grid, t1w)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    warps = [Warp.of_points(points, image.affine, np.ones(image.shape)) for points in (found, expected)]
    assert np.abs(warps[0].jacobian - warps[1].jacobian).max() < 1e-3


@needs_fslpy
def test_beyond_the_reference_the_displacement_is_that_of_its_border(tmp_path, t1w):
    file = write_coefficients(tmp_path / "coef.nii.gz", random_coefficients(), matrix=np.eye(4))
    pair = apply(MNI, np.array([[0.0, -15], [50, 50], [40, 40]]))  # the second lies 30 mm beyond
    moved = coefficient_points(file, pair, nib.load(t1w))
    np.testing.assert_allclose(np.linalg.norm(moved[:, 1] - moved[:, 0]), 30, atol=1e-4)


def test_an_unknown_reference_is_asked_for_and_compared(tmp_path):
    values = np.zeros((8, 8, 8, 3))
    file = write_coefficients(tmp_path / "coef.nii.gz", values, shape=(60, 60, 60))
    with pytest.raises(
        InputProblems, match=r"60 x 60 x 60 voxels of 2 x 2 x 2 mm, which is not FSL's MNI152.*warp_reference"
    ):
        check_warp(file, None)
    for shape, affine, message in (
        ((61, 60, 60), np.diag([-2.0, 2, 2, 1]), "expected the 60 x 60 x 60"),
        ((60, 60, 60), np.diag([-1.0, 1, 1, 1]), "expected the 60 x 60 x 60"),
        ((60, 60, 60), np.diag([2.0, 2, 2, 1]), "from right to left.*fnirtfileutils --in=coef"),
    ):
        nib.save(nib.Nifti1Image(np.zeros(shape, np.uint8), affine), tmp_path / "reference.nii.gz")
        with pytest.raises(InputProblems, match=message):
            reference_grid(file, tmp_path / "reference.nii.gz")


@pytest.mark.parametrize(("shape", "size"), [((91, 109, 91), 2.0), ((182, 218, 182), 1.0)])
def test_fsls_template_is_known_at_both_resolutions(tmp_path, shape, size):
    file = write_coefficients(tmp_path / "coef.nii.gz", np.zeros((4, 4, 4, 3)), shape=shape, sizes=(size,) * 3)
    grid = reference_grid(file, None)
    np.testing.assert_allclose(apply(grid.affine, np.array([[45.0], [63], [36]]) * 2 / size).ravel(), 0)


@pytest.mark.parametrize(("intent", "words"), [(2008, "cosines"), (2009, "quadratic splines")])
def test_other_coefficients_are_refused_with_what_makes_a_dense_field(tmp_path, intent, words):
    file = write_coefficients(tmp_path / "coef.nii.gz", np.zeros((4, 4, 4, 3)), intent=intent)
    with pytest.raises(InputProblems, match=rf"{words}.*fnirtfileutils --in=coef\.nii\.gz.*--withaff"):
        check_warp(file, None)
