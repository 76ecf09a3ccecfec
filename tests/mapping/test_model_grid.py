"""NDI on the network's grid, of scans whose NDI and free water are planted."""

import numpy as np
import pytest

from bundle.mapping.model_grid import MapSettings, make_maps
from bundle.mapping.target import Target
from bundle.mapping.volume import Volume, write_volume
from bundle.mapping.warp import Warp

SHAPE, SPACING = (24, 24, 24), 2.0
SCAN, NETWORK = np.diag([SPACING] * 3 + [1.0]), np.diag([4.0, 4, 4, 1])


@pytest.fixture
def mapped(tmp_path):
    def make(ndi, free_water, brain=None):
        brain = np.ones(SHAPE, bool) if brain is None else brain
        for name, voxels in (("ndi", ndi), ("free_water", free_water)):
            write_volume(tmp_path / f"{name}.nii.gz", Volume(voxels.astype(np.float32), SCAN))
        for name in ("dwi_mask", "brain_mask"):
            write_volume(tmp_path / f"{name}.nii.gz", Volume(brain, SCAN))
        target = Target("t1.nii.gz", Volume(np.ones(SHAPE, np.float32), SCAN), brain, (12, 12, 12), NETWORK)
        warp = Warp.of_affine(np.eye(4), SHAPE, SCAN)
        made, _ = make_maps(tmp_path, warp, target, np.eye(4), ["NDI"], MapSettings())
        return made["NDI"].voxels

    return make


def test_a_sheet_of_cortex_beside_fluid_keeps_its_ndi(mapped):
    free_water = np.ones(SHAPE)
    free_water[11:13] = 0.1  # 4 mm of cortex
    free_water[[10, 13]] = 0.6  # half of it in the voxel
    ndi = mapped(np.where(free_water < 0.9, 0.45, 0), free_water)
    sheet, fluid = ndi[5:7, 2:-2, 2:-2], ndi[:3]
    np.testing.assert_allclose(sheet, 0.45, atol=1e-4)
    assert (fluid == 0).all() and set(np.round(ndi[ndi > 0], 3)) == {np.float32(0.45)}


def test_less_tissue_with_the_same_neurites_has_the_same_ndi(mapped):
    """Atrophy that widens the fluid beside cortex is no loss of neurites."""
    thick, thin = np.ones(SHAPE), np.ones(SHAPE)
    thick[10:14], thin[11:13] = 0.1, 0.1
    maps = [mapped(np.where(free < 0.9, 0.45, 0), free)[5:7] for free in (thick, thin)]
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-4)


def test_tissues_count_by_what_there_is_of_them(mapped):
    free_water = np.zeros(SHAPE)
    free_water[::2] = 0.75
    ndi = np.where(free_water > 0, 0.3, 0.6)
    found = mapped(ndi, free_water)[2:-2, 2:-2, 2:-2]
    assert abs(found.mean() - (0.25 * 0.3 + 0.6) / 1.25) < 0.02  # the mean of both would be 0.45


def test_nothing_comes_from_outside_the_brain(mapped):
    brain = np.zeros(SHAPE, bool)
    brain[8:16, 8:16, 8:16] = True
    ndi = mapped(np.where(brain, 0.5, 0), np.zeros(SHAPE), brain)
    assert (ndi[:2] == 0).all() and set(np.round(ndi[ndi > 0], 3)) == {np.float32(0.5)}
