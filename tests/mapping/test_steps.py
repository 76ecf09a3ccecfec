from dataclasses import replace

import numpy as np
import pytest

from bundle.mapping.steps import run_step
from bundle.mapping.target import Target
from bundle.mapping.volume import Volume

TEMPLATE = Volume(np.arange(24, dtype=np.float32).reshape(2, 3, 4), np.eye(4))
TARGET = Target("t1.nii.gz", TEMPLATE, TEMPLATE.voxels > 5, (2, 3, 4), np.eye(4))


def test_a_step_is_redone_if_any_input_changed_whatever_it_is_called(tmp_path):
    inputs = [tmp_path / role / "data.nii.gz" for role in ("T1w", "DWI")]
    for file in inputs:
        file.parent.mkdir()
        file.write_text("first")

    def is_done(*files):
        return run_step(tmp_path, "step", {}, files, [], dict)[1]

    assert is_done(*inputs) and not is_done(*inputs)
    inputs[0].write_text("second")
    assert is_done(*inputs) and is_done(*reversed(inputs))
    moved = inputs[1].rename(tmp_path / "moved.nii.gz")
    assert not is_done(moved, inputs[0])


@pytest.mark.parametrize(
    "change", [{"template": TEMPLATE.like(TEMPLATE.voxels + 1)}, {"mask": TEMPLATE.voxels > 6}], ids=["voxels", "mask"]
)
def test_another_template_of_the_same_name_and_grid_is_told_apart(change):
    assert replace(TARGET).words == TARGET.words != replace(TARGET, **change).words
