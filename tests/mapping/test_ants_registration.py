"""What ANTs is given and how its transforms are read; the registration itself where it is installed."""

import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bundle.data.problems import InputProblems
from bundle.mapping.ants_registration import read_transforms, register_ants
from bundle.mapping.optional import needed
from bundle.mapping.settings import MappingSettings
from bundle.mapping.volume import FLIP, Volume, grid_points
from bundle.mapping.warp import Warp
from tests.mapping.test_warp import AFFINE, GRID, SHAPE, known

sitk = pytest.importorskip("SimpleITK")
TEMPLATE = Volume(np.zeros(SHAPE, np.float32), GRID)


def write_transforms(folder, warp, affine_of_grid=GRID):
    """As ANTs does: the displacement as a vector image in LPS, the affine as ITK's transform."""
    lps = np.moveaxis(FLIP[:3, :3].diagonal()[:, None, None, None] * warp.displacement, 0, -1)
    field = sitk.GetImageFromArray(lps.transpose(2, 1, 0, 3).astype(np.float64), isVector=True)
    own = FLIP @ affine_of_grid
    sizes = np.linalg.norm(own[:3, :3], axis=0)
    field.SetSpacing(sizes.tolist())
    field.SetDirection((own[:3, :3] / sizes).ravel().tolist())
    field.SetOrigin(own[:3, 3].tolist())
    matrix = FLIP @ warp.affine @ FLIP
    files = [folder / "1Warp.nii.gz", folder / "0GenericAffine.mat"]
    sitk.WriteImage(field, str(files[0]))
    sitk.WriteTransform(sitk.AffineTransform(matrix[:3, :3].ravel().tolist(), matrix[:3, 3].tolist()), str(files[1]))
    return files


def test_transforms_of_ants_are_displacement_then_affine(tmp_path):
    warp, _ = known()
    found = read_transforms(write_transforms(tmp_path, warp), TEMPLATE)
    np.testing.assert_allclose(found.points, warp.points, atol=1e-3)
    np.testing.assert_allclose(found.affine, warp.affine, atol=1e-5)
    np.testing.assert_allclose(found.jacobian, warp.jacobian, atol=1e-4)


def test_other_transforms_are_refused(tmp_path):
    warp, _ = known()
    files = write_transforms(tmp_path, warp)
    with pytest.raises(ValueError, match="Expected a displacement field and an affine"):
        read_transforms(files[::-1], TEMPLATE)
    moved = GRID.copy()
    moved[0, 3] += 3
    with pytest.raises(ValueError, match="on the template's grid"):
        read_transforms(write_transforms(tmp_path, warp, moved), TEMPLATE)


def test_images_reach_ants_with_their_place_in_the_world(tmp_path, monkeypatch):
    warp, _ = known()
    given = {}

    def from_numpy(voxels, origin, spacing, direction):
        return {"voxels": voxels, "origin": origin, "spacing": spacing, "direction": direction}

    def registration(fixed, moving, type_of_transform, reg_iterations, outprefix):
        given.update(fixed=fixed, moving=moving, kind=type_of_transform)
        files = write_transforms(tmp_path, warp)
        return {"fwdtransforms": [str(file) for file in files]}

    monkeypatch.setitem(sys.modules, "ants", SimpleNamespace(from_numpy=from_numpy, registration=registration))
    brain = Volume(
        np.ones((4, 5, 6), np.float32), np.array([[0, -1.5, 0, 9], [1, 0, 0, 8], [0, 0, 2, 7], [0, 0, 0, 1.0]])
    )
    np.testing.assert_allclose(register_ants(TEMPLATE, brain).points, warp.points, atol=1e-3)
    assert given["kind"] == "SyN" and given["moving"]["spacing"] == pytest.approx([1, 1.5, 2])
    own = given["moving"]
    index = np.array([3.0, 2, 1])
    lps = np.array(own["origin"]) + own["direction"] @ (index * own["spacing"])
    np.testing.assert_allclose(lps * [-1, -1, 1], (brain.affine @ [*index, 1])[:3])


def test_ants_is_asked_for_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ants", None)
    assert MappingSettings(registration="ants").libraries[-1] == "ants"
    with pytest.raises(InputProblems, match="--no-deps antspyx"):
        needed("ants")


@pytest.mark.skipif(find_spec("ants") is None, reason="no ANTs: docs/mapping.md has the command that installs it")
def test_ants_finds_a_known_warp():
    """A ball with structure, moved and stretched by an affine and by waves along each axis."""
    points = grid_points(SHAPE, GRID)
    middle = points.reshape(3, -1).mean(axis=1).reshape(3, 1, 1, 1)
    inside = np.linalg.norm((points - middle) / np.array([50, 58, 46]).reshape(3, 1, 1, 1), axis=0) < 1
    tissue = gaussian_filter(np.random.default_rng(0).standard_normal(SHAPE), 2)
    template = Volume(np.where(inside, 1 + tissue / tissue.std() / 4, 0).astype(np.float32), GRID)
    warp = Warp((3 * np.sin(points / 12)).astype(np.float32), GRID, AFFINE)
    own = warp.affine @ GRID
    brain = Volume(template.at(warp.template_points(grid_points(SHAPE, own))), own)
    found = register_ants(template, brain)
    errors = np.linalg.norm(found.points - warp.points, axis=0)[inside]
    determinants = [own.jacobian[inside] * own.affine_determinant for own in (found, warp)]
    print(f"{np.median(errors):.2f} mm off, r of determinants {np.corrcoef(*determinants)[0, 1]:.2f}")
    assert np.median(errors) < 1.5 and determinants[0].min() > 0
    assert np.corrcoef(*determinants)[0, 1] > 0.85
