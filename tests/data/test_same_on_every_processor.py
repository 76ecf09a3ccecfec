"""The cohort does not depend on which instructions a processor has, nor on the number of threads.

Libraries choose their kernels once, as they are loaded: each combination is a process of its own, one after another. Those
that need AVX-512 are left out where the processor lacks it.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bundle.data.synthetic import IMAGE_ROUNDING
from tests.conftest import ROOT

SIMULATE = """
import sys
import numpy as np
from bundle.data.cohort_settings import CohortSettings
from bundle.data.synthetic import SyntheticCohort
cohort = SyntheticCohort(CohortSettings(n_subjects=40, spacing_mm=6.0, seed=5, missing_modalities=0.1, site_effect=1.0))
participants = cohort.population
tables = [table.to_csv(sep="\\t") for table in (participants.participants, participants.phenotypes, participants.truth, participants.loadings)]
images = {f"{n} {name}": image for n in range(2) for name, image in cohort.draw_subject(n).images.items()}
np.savez(sys.argv[1], tables="".join(tables), **images)
"""
NO_NUMPY_KERNELS = " ".join(np._core._multiarray_umath.__cpu_dispatch__)
HAS_AVX512 = all(np._core._multiarray_umath.__cpu_features__.get(name) for name in ("AVX512F", "AVX512BW", "AVX512VL"))
OLD = {"OPENBLAS_CORETYPE": "Sandybridge", "ATEN_CPU_CAPABILITY": "default", "NPY_DISABLE_CPU_FEATURES": NO_NUMPY_KERNELS, "OMP_NUM_THREADS": "1"}  # fmt: skip
AVX2 = {"OPENBLAS_CORETYPE": "Haswell", "ATEN_CPU_CAPABILITY": "avx2", "OPENBLAS_L2_SIZE": "512", "OMP_NUM_THREADS": "2"}  # fmt: skip
AVX512 = {"OPENBLAS_CORETYPE": "SkylakeX", "ATEN_CPU_CAPABILITY": "avx512", "OMP_NUM_THREADS": "1"}
UNSET: dict[str, str] = {}


def simulate(file: Path, kernels: dict[str, str]) -> dict[str, np.ndarray]:
    """Tables, as one text, and images of a small cohort."""
    names = {*OLD, *AVX2, *AVX512}
    environment = {name: value for name, value in os.environ.items() if name not in names} | kernels
    subprocess.run([sys.executable, "-c", SIMULATE, file], check=True, cwd=ROOT, env=environment)
    with np.load(file) as found:
        return dict(found)


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("usual") / "cohort.npz", UNSET)


@pytest.mark.parametrize(
    "kernels",
    [
        pytest.param(OLD, id="no-avx"),
        pytest.param(AVX2, id="avx2"),
        pytest.param(AVX512, id="avx512", marks=pytest.mark.skipif(not HAS_AVX512, reason="needs AVX-512")),
    ],
)
def test_tables_are_the_same_and_images_within_rounding(usual, tmp_path, kernels):
    found = simulate(tmp_path / "cohort.npz", kernels)
    assert found.keys() == usual.keys() and len(usual) > 1
    assert found.pop("tables") == usual["tables"]
    for name, image in found.items():
        assert np.abs(image - usual[name]).max() <= IMAGE_ROUNDING * np.ptp(usual[name]), name
