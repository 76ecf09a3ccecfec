import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bundle.data.problems import InputProblems
from bundle.mapping.target import Target
from bundle.mapping.volume import Volume, grid_points
from bundle.mapping.warp import Warp
from bundle.mapping.warp_step import likeness, refuse_reverse
from tests.mapping.test_warp import AFFINE, GRID, SHAPE, known


@pytest.fixture(scope="module")
def target():
    """A template with structures of about 10 mm in a ball."""
    points = grid_points(SHAPE, GRID)
    middle = points.reshape(3, -1).mean(axis=1).reshape(3, 1, 1, 1)
    inside = np.linalg.norm(points - middle, axis=0) < 45
    tissue = gaussian_filter(np.random.default_rng(0).standard_normal(SHAPE), 2)
    voxels = np.where(inside, 1 + tissue / tissue.std() / 4, 0).astype(np.float32)
    return Target("t1.nii.gz", Volume(voxels, GRID), inside, SHAPE, GRID)


@pytest.fixture(scope="module")
def brain(target):
    """The template as the known warp makes it a participant's."""
    warp, _ = known()
    own = AFFINE @ GRID
    return Volume(target.template.at(warp.template_points(grid_points(SHAPE, own))), own)


def reverse_of(warp):
    """What a file from T1w to template gives when it is asked for points of the template."""
    return Warp.of_points(warp.template_points(grid_points(SHAPE, GRID)), GRID, np.ones(SHAPE))


def test_a_warp_to_the_template_is_refused_and_the_right_one_is_not(target, brain):
    warp, _ = known()
    assert likeness(brain, warp.points, target) > 0.9
    refuse_reverse("to_t1w.h5", warp, brain, target)
    with pytest.raises(InputProblems, match=r"to_mni\.h5: this warp seems to go from the T1w image to the template"):
        refuse_reverse("to_mni.h5", reverse_of(warp), brain, target)


def test_an_image_that_neither_way_fits_is_left_to_the_worries(target, brain):
    warp, _ = known()
    noise = brain.like(np.random.default_rng(1).random(SHAPE).astype(np.float32))
    for own in (warp, reverse_of(warp)):
        refuse_reverse("x.h5", own, noise, target)
