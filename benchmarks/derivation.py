"""What deriving a log Jacobian of a warp costs, on the grid of fMRIPrep's 1 mm images.

    python -m benchmarks.derivation

An ITK composite (affine, and a displacement field of 193 x 229 x 193 voxels) and the brains of participant and template are written to a
temporary folder; reading them, the determinants, and the image on the network's grid are timed, as `preparing` makes it.
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from bundle.data.derivations import Derivation
from bundle.data.derived_images import Recipe, make_image
from bundle.data.layouts import JacobianKind
from bundle.data.resampling import common_grid
from bundle.mapping.derivation import derive
from bundle.mapping.volume import Volume, grid_points, write_volume

SHAPE = (193, 229, 193)
GRID = np.diag([1.0, 1.0, 1.0, 1.0])
GRID[:3, 3] = [-96, -132, -78]
SHIFT_MM = 2.0


def write_sources(folder: Path) -> Derivation:
    """A warp that moves the brain by waves of 2 mm; the head is the template's."""
    points = grid_points(SHAPE, GRID)
    brain = ((points - np.array([0, -18, 15]).reshape(3, 1, 1, 1)) / np.array([65, 80, 60]).reshape(3, 1, 1, 1)) ** 2
    for name in ("native.nii.gz", "like.nii.gz"):
        write_volume(folder / name, Volume(brain.sum(axis=0) < 1, GRID))
    waves = SHIFT_MM * np.sin(points / 40)
    field = sitk.GetImageFromArray(waves.T, isVector=True)
    field.SetOrigin((96, 132, -78))
    field.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    composite = sitk.CompositeTransform([sitk.AffineTransform(3), sitk.DisplacementFieldTransform(field)])
    sitk.WriteTransform(composite, str(folder / "xfm.h5"))
    return Derivation(folder / "xfm.h5", folder / "native.nii.gz", folder / "like.nii.gz", None, "xfm.h5")


def peak_gb() -> float:
    """Most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        source = write_sources(Path(name))
        grid = ((64, 64, 48), common_grid((64, 64, 48), 3.0))
        recipe = Recipe(source, Path(name) / "jac.nii.gz", jacobian=JacobianKind("raw", "excluded"), grid=grid)
        started, cpu = time.perf_counter(), time.process_time()
        make_image(recipe, derive)
        print(
            f"{time.process_time() - cpu:.1f} s of CPU, {time.perf_counter() - started:.1f} s, {peak_gb():.1f} GB at most"
        )
