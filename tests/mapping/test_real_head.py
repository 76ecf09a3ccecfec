"""A real head: Colin27 with its skull, which Debian's mricron-data installs."""

import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from bundle.mapping.ants_registration import register_ants
from bundle.mapping.brain import mask_by_template
from bundle.mapping.registration import correct_bias, register_demons, register_linear
from bundle.mapping.target import load_target
from bundle.mapping.volume import read_volume

FOLDER = Path("/usr/share/mricron/templates")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (FOLDER / "ch2.nii.gz").is_file(), reason="no Colin27: apt-get install mricron-data"),
]


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.fixture(scope="module")
def target():
    return load_target(None, None, 2.0, (64, 64, 48), 3.0, None)


@pytest.fixture(scope="module")
def head(target):
    """The head without its bias field, and its brain mask."""
    corrected = correct_bias(read_volume(FOLDER / "ch2.nii.gz"))
    return corrected, mask_by_template(corrected, target.template, target.mask)


def by_demons(template, brain):
    return register_demons(template, brain, register_linear(template, brain, "affine"))


def test_the_templates_mask_is_that_of_bet_and_the_fluid_around(head):
    is_bet = read_volume(FOLDER / "ch2bet.nii.gz").voxels > 0
    assert dice(head[1], is_bet) > 0.9 and is_bet[~head[1]].mean() < 0.01


@pytest.mark.parametrize(
    "register",
    [
        pytest.param(by_demons, id="demons"),
        pytest.param(register_ants, id="ants", marks=pytest.mark.skipif(find_spec("ants") is None, reason="no ANTs")),
    ],
)
def test_a_head_with_its_skull_lands_on_the_template(target, head, register):
    corrected, mask = head
    brain = corrected.like(corrected.voxels * mask)
    started = time.process_time()
    warp = register(target.template, brain).unfolded()
    seconds = time.process_time() - started
    warped, template, inside = brain.at(warp.points, 2.0), target.template.voxels, target.mask
    likeness = np.corrcoef(warped[inside], template[inside])[0, 1]
    # the same share of voxels is white matter in both, so that the threshold of one says nothing of the other
    cuts = [np.percentile(values[inside], 62) for values in (warped, template)]
    white = dice((warped > cuts[0]) & inside, (template > cuts[1]) & inside)
    brain_overlap = dice(mask_in_template(corrected, mask, warp), inside)
    print(
        f"white matter {white:.3f}, brain {brain_overlap:.3f}, likeness {likeness:.3f}, {warp.n_unfolded} voxels folded, "
        f"determinants {warp.jacobian[inside].min():.2f} to {warp.jacobian[inside].max():.2f}, {seconds:.0f} s of CPU"
    )
    assert warp.n_unfolded == 0 and warp.jacobian.min() > 0
    assert likeness > 0.8 and white > 0.8 and brain_overlap > 0.95


def mask_in_template(head, mask, warp):
    return head.like(mask).at(warp.points, 2.0) > 0.5
