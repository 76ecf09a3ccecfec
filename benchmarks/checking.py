"""How long the check of a cohort takes: headers of all participants, then all voxels.

    python benchmarks/checking.py --people 1000 --grid 91 109 91

Draws noise in a head's shape, four maps a participant, as compressed files of the given grid, in a temporary folder; a few are
drawn, and all participants' are these but for one voxel, so that they are as many and as large as a cohort's and none is a copy.
"""

from __future__ import annotations

import argparse
import gzip
import os
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

from bundle.data.check import read_to_the_end
from bundle.data.cohort_source import CohortSource
from bundle.stages.check import look_at, write_look

MODALITIES = ("T1w", "FA", "NDI", "JAC")
SCALES = {"T1w": 800.0, "FA": 0.5, "NDI": 0.6, "JAC": 1.0}
DIFFERENT = 8


def draw(grid: tuple[int, int, int], modality: str, rng: np.random.Generator) -> nib.Nifti1Image:
    """An ellipsoid of noise, stored as 16-bit numbers from right to left, as FSL's tools store it."""
    axes = np.meshgrid(*[np.linspace(-1, 1, size) for size in grid], indexing="ij")
    head = sum(axis**2 for axis in axes) < 0.8
    voxels = SCALES[modality] * (0.8 + 0.1 * rng.standard_normal(grid)) * head
    affine = np.diag([-2.0, 2.0, 2.0, 1.0])
    image = nib.Nifti1Image(voxels.astype(np.float32), affine)
    image.set_data_dtype(np.int16)
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--grid", type=int, nargs=3, default=(91, 109, 91))
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    grid = tuple(options.grid)
    names = [f"sub-{number:05d}" for number in range(options.people)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rng = np.random.default_rng(0)
        drawn = {m: [draw(grid, m, rng).to_bytes() for _ in range(DIFFERENT)] for m in MODALITIES}
        middle = -(grid[0] * grid[1] * grid[2] // 2) * 2
        for number, name in enumerate(names):
            (folder / name).mkdir()
            for modality in MODALITIES:
                image = bytearray(drawn[modality][number % DIFFERENT])
                image[middle : middle + 2] = (251 * number % 2**15).to_bytes(2, "little")
                (folder / name / f"{modality}.nii.gz").write_bytes(gzip.compress(image, 1))
        (folder / "participants.tsv").write_text("participant_id\n" + "\n".join(names) + "\n")
        size = sum(file.stat().st_size for file in folder.glob("*/*.nii.gz"))
        print(f"{len(names)} participants x {len(MODALITIES)} maps of {grid}, {size / 1e9:.2f} GB compressed")
        cohort = CohortSource(str(folder), images={m: "{participant_id}/" + m + ".nii.gz" for m in MODALITIES})
        for voxels in ("headers", "full"):
            started, worked = time.perf_counter(), time.process_time()
            look = look_at(cohort, MODALITIES, grid, False, voxels, 6.0, options.workers, False)
            looked, done = time.perf_counter(), time.process_time()
            write_look(folder / "0_checked", look, 200, 6.0)
            page = (folder / "0_checked" / "check.html").stat().st_size / 1e6
            print(f"{voxels}: {looked - started:.1f} s ({done - worked:.1f} s of CPU), writing table and page {time.perf_counter() - looked:.1f} s, page {page:.1f} MB, {len(look.to_mend)} to fix")  # fmt: skip
        sample = [str(folder / name / f"{m}.nii.gz") for name in names[:: max(1, len(names) // 25)] for m in MODALITIES]
        ways = {
            "decompressing": read_to_the_end,
            "reading with nibabel": lambda f: nib.load(f).get_fdata(dtype=np.float32),
        }
        for words, read in ways.items():
            started = time.process_time()
            for file in sample:
                read(file)
            alone = (time.process_time() - started) / len(sample) * 4 * len(names)
            print(f"{words} alone: {alone:.1f} s of CPU, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
