"""What AMICO is given and how its maps are read; the fit itself where it is installed."""

import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from bundle.data.problems import InputProblems
from bundle.mapping import amico_noddi
from bundle.mapping.amico_noddi import fit_amico
from bundle.mapping.gradients import Gradients
from bundle.mapping.optional import needed
from bundle.mapping.settings import MappingSettings
from tests.mapping.signals import noise_free, random_voxels, scheme, with_rician_noise

UKB = scheme((5, 0), (50, 1000), (50, 2000))


class Evaluation:
    """AMICO's class, with the first three volumes of a voxel as its maps."""

    schemes: list = []

    def __init__(self, study_path, subject):
        self.folder = Path(study_path) / subject
        self.model = SimpleNamespace(maps_name=["ODI", "NDI", "FWF"])

    def load_data(self, dwi, scheme_file, mask_filename, b0_thr):
        self.image, mask = (nib.load(self.folder / name).get_fdata() for name in (dwi, mask_filename))
        self.inside = mask > 0
        assert b0_thr == 0 and self.image.ndim == 4 and self.inside.shape == self.image.shape[:3]
        self.schemes.append(np.loadtxt(self.folder / scheme_file, skiprows=1))

    def set_model(self, name):
        assert name == "NODDI"

    def generate_kernels(self, lmax, ndirs): ...

    def load_kernels(self): ...

    def fit(self):
        self.RESULTS = {"MAPs": np.where(self.inside[..., None], self.image[..., :3], np.nan)}


@pytest.fixture
def amico(monkeypatch):
    fake = SimpleNamespace(Evaluation=Evaluation, set_verbose=lambda level: None)
    monkeypatch.setitem(sys.modules, "amico", fake)
    monkeypatch.setitem(sys.modules, "amico.lut", SimpleNamespace(precompute_rotation_matrices=lambda *args: None))
    monkeypatch.setattr(amico_noddi, "VOXELS_AT_ONCE", 7)
    monkeypatch.setattr(amico_noddi, "WIDTH", 3)
    Evaluation.schemes = []
    return fake


def test_voxels_come_back_in_order_whatever_the_chunks(amico):
    signals = np.random.default_rng(0).uniform(0.1, 0.9, (17, len(UKB))).astype(np.float32)
    jitter = np.where(UKB.is_b0, 5, UKB.b_values + np.resize([-5, 5], len(UKB)))
    maps = fit_amico(signals, Gradients(jitter, UKB.directions))
    for values, column in ((maps.odi, 0), (maps.ndi, 1), (maps.free_water, 2)):
        np.testing.assert_allclose(values, signals[:, column], atol=1e-6)
    assert len(amico.Evaluation.schemes) == 3
    found = amico.Evaluation.schemes[0]
    np.testing.assert_allclose(found[:, :3], UKB.directions, atol=1e-6)
    assert set(found[:, 3]) == {0, 1000, 2000}  # AMICO takes every b-value for a shell of its own


def test_amico_does_not_end_the_run(amico):
    amico.set_verbose = lambda level: sys.exit(64)
    with pytest.raises(ValueError, match="AMICO stopped"):
        fit_amico(np.ones((4, len(UKB)), np.float32), UKB)


def test_amico_is_asked_for_with_its_licence(monkeypatch):
    monkeypatch.setitem(sys.modules, "amico", None)
    assert MappingSettings(noddi="amico").libraries[-1] == "amico"
    with pytest.raises(InputProblems, match=r"dmri-amico .*research and education only"):
        needed("amico")


@pytest.mark.skipif(find_spec("amico") is None, reason="no AMICO, whose licence forbids to depend on it")
def test_amico_recovers_ndi():
    ndi, odi, free, fibres = random_voxels(1000)
    signals = with_rician_noise(noise_free(UKB, ndi, odi, free, fibres), snr=30)
    maps = fit_amico(signals.astype(np.float32), UKB)
    print(f"r {np.corrcoef(maps.ndi, ndi)[0, 1]:.3f}, mean absolute error {np.abs(maps.ndi - ndi).mean():.3f}")
    assert np.corrcoef(maps.ndi, ndi)[0, 1] > 0.95 and np.abs(maps.ndi - ndi).mean() < 0.04
