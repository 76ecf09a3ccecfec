from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bundle.mapping.person import MappingSettings, PersonMapper
from bundle.mapping.scans import Scans
from bundle.mapping.target import Target
from bundle.mapping.volume import Volume

TEMPLATE = Volume(np.arange(24, dtype=np.float32).reshape(2, 3, 4), np.eye(4))
TARGET = Target("t1.nii.gz", TEMPLATE, TEMPLATE.voxels > 5, (2, 3, 4), np.eye(4))


def words(target):
    scans = Scans("sub-01", {}, None, False)
    return PersonMapper(scans, target, MappingSettings(), Path(), Path(), False)._template_words()


@pytest.mark.parametrize(
    "change", [{"template": TEMPLATE.like(TEMPLATE.voxels + 1)}, {"mask": TEMPLATE.voxels > 6}], ids=["voxels", "mask"]
)
def test_another_template_of_the_same_name_and_grid_is_told_apart(change):
    assert words(replace(TARGET)) == words(TARGET) != words(replace(TARGET, **change))
