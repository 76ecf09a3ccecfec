"""Time, peak memory and errors of one participant from raw scans to maps, in a process of its own.

    python benchmarks/mapping.py                 # like UK Biobank: 1 mm T1w; 2 mm DWI, 5 b0 + 50 b1000 + 50 b2000
    python benchmarks/mapping.py --like hcp      # like HCP: 0.7 mm T1w; 1.25 mm DWI, 18 b0 + 90 each of b1000, b2000, b3000

    python benchmarks/mapping.py --registration ants --noddi amico      # where they are installed

Simulates a participant (bundle/mapping/simulation.py) in a folder, which is kept if it is named, then runs `mapping` on it and
compares NDI and warp with the truth.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

from bundle.mapping.volume import Volume, read_volume, stored_voxels
from bundle.mapping.warp import Warp

SIZES = {"ukb": (1.0, 2.0), "hcp": (0.7, 1.25)}
SIMULATE = """
import sys
from pathlib import Path
import numpy as np
from bundle.mapping.simulation import HCP_SCHEME, UKB_SCHEME, simulate_subject, write_subject
from bundle.mapping.volume import write_volume
folder, t1w_mm, dwi_mm, like = sys.argv[1:]
scheme = HCP_SCHEME if like == "hcp" else UKB_SCHEME
subject = simulate_subject(0, float(t1w_mm), float(dwi_mm), scheme)
write_subject(subject, Path(folder))
write_volume(Path(folder) / "true_ndi.nii.gz", subject.ndi)
warp = subject.warp
np.savez(Path(folder) / "true_warp.npz", displacement=warp.displacement, grid_affine=warp.grid_affine, affine=warp.affine)
"""
TISSUE = 0.3
"""Free water up to which a voxel's NDI is compared."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--like", choices=SIZES, default="ukb")
    parser.add_argument("--folder", help="for scans and maps; a temporary one if it is left out")
    parser.add_argument("--brain_mask", default="given")
    parser.add_argument("--registration", default="demons")
    parser.add_argument("--noddi", default="grid")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary)
        scans = folder / "scans"
        if not (scans / "true_warp.npz").is_file():
            t1w_mm, dwi_mm = SIZES[options.like]
            subprocess.run([sys.executable, "-c", SIMULATE, str(scans), str(t1w_mm), str(dwi_mm), options.like], check=True)  # fmt: skip
        names = {"T1w": "t1.nii.gz", "T1w_mask": "t1_mask.nii.gz", "DWI": "dwi.nii.gz", "bvals": "bvals", "bvecs": "bvecs"}  # fmt: skip
        files = {name: str(scans / file) for name, file in names.items()}
        simulated = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        words = ["mapping", "--config_file", "configs/map.yaml", "--participant_id", "person", "--files", repr(files)]
        words += ["--output_dir", str(folder / "output"), "--brain_mask", options.brain_mask, "--progress", "False"]
        words += ["--registration", options.registration, "--noddi", options.noddi]
        measure = f"""
import resource, runpy, sys
sys.argv = ["monai.bundle", "run", *{words!r}]
try:
    runpy.run_module("monai.bundle", run_name="__main__")
finally:
    print("peak_gb", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""
        done = subprocess.run([sys.executable, "-c", measure], check=True, capture_output=True, text=True)
        seconds = time.perf_counter() - started
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        work = used.ru_utime + used.ru_stime - simulated.ru_utime - simulated.ru_stime
        peak = float(done.stdout.split("peak_gb")[1])
        print(f"{options.like}: {seconds:.0f} s, {work:.0f} s of CPU, peak memory {peak:.2f} GB")
        work_folder = folder / "output" / "0_mapped" / "work" / "person"
        for file in sorted(work_folder.glob("*.json"), key=lambda file: file.stat().st_mtime):
            if "seconds" in (record := json.loads(file.read_text())):
                print(f"  {record['step']}: {record['seconds']} s")
        compare_ndi(work_folder, scans)
        compare_warp(work_folder, scans)


def compare_ndi(work_folder: Path, scans: Path) -> None:
    """On the scan's grid, where there is tissue."""
    found, free, truth = (stored_voxels(file) for file in (work_folder / "ndi.nii.gz", work_folder / "free_water.nii.gz", scans / "true_ndi.nii.gz"))  # fmt: skip
    tissue = (truth > 0) & (stored_voxels(work_folder / "dwi_mask.nii.gz") > 0) & (free < TISSUE)
    error = (found - truth)[tissue]
    r = np.corrcoef(found[tissue], truth[tissue])[0, 1]
    print(
        f"NDI: r {r:.3f}, mean absolute error {np.abs(error).mean():.3f}, bias {error.mean():+.3f}, {tissue.sum()} voxels"
    )


def compare_warp(work_folder: Path, scans: Path) -> None:
    """On the template's grid, where the participant's brain is."""
    facts = json.loads((work_folder / "warp.json").read_text())["facts"]
    image = nib.load(work_folder / "warp.nii.gz")
    found = Warp(np.moveaxis(np.asarray(image.dataobj), -1, 0), image.affine, np.array(facts["affine"]))
    with np.load(scans / "true_warp.npz") as stored:
        truth = Warp(**stored)
    own = np.stack(np.meshgrid(*[np.arange(size, dtype=float) for size in image.shape[:3]], indexing="ij"))
    points = np.tensordot(image.affine[:3, :3], own, 1) + image.affine[:3, 3].reshape(3, 1, 1, 1)
    displacement = np.stack([Volume(part, truth.grid_affine).at(points) for part in truth.displacement])
    expected = Warp(displacement, image.affine, truth.affine)
    inside = read_volume(work_folder / "brain_mask.nii.gz").at(found.points) > 0.5
    distances = np.linalg.norm(found.points - expected.points, axis=0)[inside]
    logs = [np.log(warp.jacobian[inside] * warp.affine_determinant) for warp in (found, expected)]
    print(
        f"warp: {np.mean(distances):.2f} mm off, log JAC r {np.corrcoef(*logs)[0, 1]:.3f}, likeness {facts['likeness']:.3f}, "
        f"{facts['folded_voxels_before']} voxels folded, lowest JAC {facts['jacobian_lowest']:.2f}"
    )


if __name__ == "__main__":
    main()
