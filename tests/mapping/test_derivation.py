import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from bundle.data.derivations import Derivation
from bundle.data.problems import InputProblems
from bundle.mapping.derivation import derive, grid_of, inspect_derivation
from bundle.mapping.volume import Volume, apply, grid_points, read_volume, write_volume
from bundle.mapping.warp import Warp
from tests.analytic_warps import RADIOLOGICAL, AnalyticWarp
from tests.mapping.test_fsl_warp import needs_fslpy

SHAPE = (48, 56, 48)
GRID = np.diag([4.0, 4.0, 4.0, 1.0])
GRID[:3, 3] = [-94, -125, -75]
COEFFICIENTS = pytest.param("coef.nii.gz", marks=needs_fslpy)
INSIDE = (slice(1, -1),) * 3


def head(points):
    """A lopsided brain with a bright half, in template mm; 0 outside."""
    x, y, z = points
    inside = (x / 65) ** 2 + ((y + 18) / 80) ** 2 + ((z - 15) / 60) ** 2
    return np.clip(1.2 - inside, 0, None) * (2 + np.sin(x / 15) + np.cos((y + z) / 20)) * 100


@pytest.fixture
def files(tmp_path):
    """Warp of each kind, the template's image, the participant's, and a native map of known values: `(warp, Derivation)`."""
    known = AnalyticWarp.draw(0, SHAPE, GRID)
    write_volume(tmp_path / "like.nii.gz", Volume(head(grid_points(SHAPE, GRID)), GRID))
    nib.save(nib.load(tmp_path / "like.nii.gz").as_reoriented(RADIOLOGICAL), tmp_path / "like.nii.gz")
    native = known.to_native(tmp_path / "like.nii.gz", tmp_path / "native.nii.gz", radiological=True)
    own = grid_points(SHAPE, known.native_grid)
    write_volume(tmp_path / "ndi.nii.gz", Volume(native_map(own), known.native_grid))
    known.write_itk(tmp_path / "xfm.h5")
    known.write_fsl(tmp_path / "field.nii.gz", native)
    known.write_fnirt(tmp_path / "coef.nii.gz", native)
    source = Derivation(tmp_path / "xfm.h5", native, tmp_path / "like.nii.gz", None, "warp")
    return known, source


def native_map(points):
    """Of the participant's mm, so smooth that linear interpolation is right."""
    x, y, z = points
    return (0.5 + 0.2 * np.sin(x / 60) + 0.2 * np.cos((y - z) / 70)).astype(np.float32)


@pytest.mark.parametrize("warp", ["xfm.h5", "field.nii.gz", COEFFICIENTS])
def test_jacobian_is_the_analytic_one_without_the_affine_that_fits_best(files, tmp_path, warp):
    known, source = files
    jacobian, affine = derive(replace(source, warp=tmp_path / warp))
    np.testing.assert_allclose(affine, GRID)
    expected = known.log_jacobian(read_volume(source.like).voxels)
    assert expected[INSIDE].std() > 0.03  # something to be found
    assert np.abs(np.log(jacobian) - expected)[INSIDE].max() < 1e-3


@pytest.mark.parametrize("warp", ["xfm.h5", "field.nii.gz", COEFFICIENTS])
def test_a_native_map_is_brought_to_where_it_belongs(files, tmp_path, warp):
    known, source = files
    made, _ = derive(replace(source, warp=tmp_path / warp, image=tmp_path / "ndi.nii.gz"))
    points = known.warp.points
    voxels = apply(np.linalg.inv(known.native_grid), points)
    in_view = ((voxels >= 0) & (voxels <= np.array(SHAPE).reshape(3, 1, 1, 1) - 1)).all(axis=0)
    assert in_view.mean() > 0.8
    assert np.abs(made - native_map(points))[in_view].max() < 1e-3


def test_an_fsl_field_keeps_its_own_grid_and_itk_takes_that_of_the_image_in_the_template(files, tmp_path):
    _, source = files
    fine = nib.affines.rescale_affine(GRID, SHAPE, 2.0, [2 * size for size in SHAPE])
    write_volume(tmp_path / "fine.nii.gz", Volume(head(grid_points([2 * s for s in SHAPE], fine)), fine))
    source = replace(source, like=tmp_path / "fine.nii.gz")
    assert grid_of(source)[0] == (96, 112, 96)
    assert grid_of(replace(source, warp=tmp_path / "field.nii.gz"))[0] == SHAPE
    jacobian, _ = derive(source)
    coarse, _ = derive(replace(source, warp=tmp_path / "field.nii.gz"))
    middle = (slice(8, -8),) * 3
    assert np.abs(jacobian[::2, ::2, ::2] - coarse)[middle].max() < 0.02


def test_an_image_stored_the_other_way_round_makes_the_same_map(files):
    _, source = files
    straight, _ = derive(source)
    nib.save(nib.as_closest_canonical(nib.load(source.like)), source.like)
    np.testing.assert_allclose(derive(source)[0], straight, atol=1e-6)


@pytest.mark.parametrize("kind", ["itk", "fsl"])
def test_a_warp_that_goes_the_other_way_is_refused(files, tmp_path, kind):
    known, source = files
    back = known.warp.template_points(grid_points(SHAPE, known.native_grid), 30)
    # a warp from the participant's grid to the template, given as if it were the other one
    reverse = _Points(SHAPE, known.native_grid, back)
    if kind == "itk":
        file = reverse.write_itk(tmp_path / "reverse.h5")
    else:
        file = reverse.write_fsl(tmp_path / "reverse.nii.gz", source.native)
    with pytest.raises(InputProblems, match="goes from the native image to the template"):
        derive(replace(source, warp=file))


class _Points(AnalyticWarp):
    """A warp that is given by its points."""

    def __init__(self, shape, grid, points):
        super().__init__(shape, grid, np.zeros(3), np.zeros(3), np.eye(4))
        object.__setattr__(self, "_points", points)

    @property
    def warp(self):
        straight = Warp.of_affine(np.eye(4), self.shape, self.grid)
        return straight.with_displacement(self._points - grid_points(self.shape, self.grid))


def test_a_warp_of_an_image_in_another_space_is_refused(files, tmp_path):
    known, source = files
    other = replace(known, affine=known.affine + np.array([[0, 0, 0, 18], [0, 0, 0, -20], [0, 0, 0, 15], [0, 0, 0, 0]]))
    with pytest.raises(InputProblems, match=re.escape("does not lay native.nii.gz on like.nii.gz")):
        derive(replace(source, warp=other.write_itk(tmp_path / "other.h5")))


def test_several_people_are_derived_side_by_side(files):
    _, source = files
    alone, _ = derive(source)
    with ThreadPoolExecutor(4) as pool:
        for jacobian, _ in pool.map(derive, [source] * 24):
            np.testing.assert_array_equal(jacobian, alone)


@pytest.mark.parametrize("name", ["xfm.h5", "field.nii.gz", COEFFICIENTS])
def test_a_broken_warp_is_named(files, tmp_path, name):
    _, source = files
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputProblems, match=f"{name}: the warp cannot be read .*: copy or make it again"):
        derive(replace(source, warp=tmp_path / name))


def test_headers_tell_the_grid_or_what_is_wrong_with_which_file(files, tmp_path):
    _, source = files
    assert inspect_derivation("sub-1", "JAC", source).shape == SHAPE
    (tmp_path / "torn.nii.gz").write_bytes(b"no image")
    for part, kind in (("native", "torn.nii.gz"), ("warp", "torn.nii.gz")):
        fact = inspect_derivation("sub-1", "JAC", replace(source, **{part: tmp_path / kind}))
        assert fact.problem.sentence.startswith("sub-1, JAC, ") and "torn.nii.gz" in fact.problem.sentence


def test_without_a_brain_there_is_no_affine_part(files):
    _, source = files
    write_volume(source.like, Volume(np.zeros(SHAPE, np.float32), GRID))
    with pytest.raises(InputProblems, match="there is no brain"):
        derive(source)
