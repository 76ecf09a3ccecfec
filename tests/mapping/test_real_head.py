"""A real head: Colin27 with its skull, which Debian's mricron-data installs."""

from pathlib import Path

import numpy as np
import pytest

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


def test_a_head_with_its_skull_lands_on_the_template():
    target = load_target(None, None, 2.0, (64, 64, 48), 3.0, None)
    head, stripped = (read_volume(FOLDER / name) for name in ("ch2.nii.gz", "ch2bet.nii.gz"))
    corrected = correct_bias(head)
    mask = mask_by_template(corrected, target.template, target.mask)
    # bet's mask leaves out the fluid around the brain, the template's has it
    assert dice(mask, stripped.voxels > 0) > 0.9 and (stripped.voxels > 0)[~mask].mean() < 0.01
    brain = corrected.like(corrected.voxels * mask)
    warp = register_demons(target.template, brain, register_linear(target.template, brain, "affine")).unfolded()
    assert warp.n_unfolded == 0 and warp.jacobian.min() > 0
    warped, template, inside = brain.at(warp.points, 2.0), target.template.voxels, target.mask
    assert np.corrcoef(warped[inside], template[inside])[0, 1] > 0.8
    # the same share of voxels is white matter in both, so that the threshold of one says nothing of the other
    cuts = [np.percentile(values[inside], 62) for values in (warped, template)]
    white = dice((warped > cuts[0]) & inside, (template > cuts[1]) & inside)
    brain_overlap = dice(mask_in_template(head, mask, warp), inside)
    print(f"white matter {white:.3f}, brain {brain_overlap:.3f}")
    assert white > 0.8 and brain_overlap > 0.95


def mask_in_template(head, mask, warp):
    return head.like(mask).at(warp.points, 2.0) > 0.5
