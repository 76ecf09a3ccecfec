"""Time and peak memory of one person from raw scans to maps, in a process of its own.

    python benchmarks/mapping.py                 # like UK Biobank: 1 mm T1w; 2 mm DWI, 5 b0 + 50 b1000 + 50 b2000
    python benchmarks/mapping.py --like hcp      # like HCP: 0.7 mm T1w; 1.25 mm DWI, 18 b0 + 90 each of b1000, b2000, b3000

Simulates a person (bundle/mapping/simulation.py) in a folder, which is kept if it is named, then runs `mapping` on it.
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

SIZES = {"ukb": (1.0, 2.0), "hcp": (0.7, 1.25)}
SIMULATE = """
import sys
from pathlib import Path
from bundle.mapping.simulation import HCP_SCHEME, UKB_SCHEME, simulate_subject, write_subject
folder, t1w_mm, dwi_mm, like = sys.argv[1:]
scheme = HCP_SCHEME if like == "hcp" else UKB_SCHEME
write_subject(simulate_subject(0, float(t1w_mm), float(dwi_mm), scheme), Path(folder))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--like", choices=SIZES, default="ukb")
    parser.add_argument("--folder", help="for scans and maps; a temporary one if it is left out")
    parser.add_argument("--brain_mask", default="given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary)
        scans = folder / "scans"
        if not (scans / "bvecs").is_file():
            t1w_mm, dwi_mm = SIZES[options.like]
            subprocess.run([sys.executable, "-c", SIMULATE, str(scans), str(t1w_mm), str(dwi_mm), options.like], check=True)  # fmt: skip
        names = {"T1w": "t1.nii.gz", "T1w_mask": "t1_mask.nii.gz", "DWI": "dwi.nii.gz", "bvals": "bvals", "bvecs": "bvecs"}  # fmt: skip
        files = {name: str(scans / file) for name, file in names.items()}
        simulated = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        words = ["mapping", "--config_file", "configs/map.yaml", "--participant_id", "person", "--files", repr(files)]
        words += ["--output_dir", str(folder / "output"), "--brain_mask", options.brain_mask, "--progress", "False"]
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
        for file in sorted((folder / "output" / "0_mapped" / "work" / "person").glob("*.json"), key=lambda file: file.stat().st_mtime):  # fmt: skip
            record = json.loads(file.read_text())
            print(f"  {record['step']}: {record['seconds']} s")


if __name__ == "__main__":
    main()
