import numpy as np
import pytest
import torch

from bundle.mapping.noddi import TissueGrid, estimate_noise, fit_noddi
from bundle.mapping.noise import noise_sd_of, rician_mean
from bundle.mapping.tensor import fit_tensor
from bundle.mapping.watson import legendre_nodes, signals_at, tissue_signals
from tests.mapping.signals import noise_free, random_voxels, scheme, spread, with_rician_noise

UKB = scheme((5, 0), (50, 1000), (50, 2000))
HCP = scheme((18, 0), (90, 1000), (90, 2000), (90, 3000))
SMALL = TissueGrid(12, 12, 12)


@pytest.mark.parametrize("odi", [0.02, 0.05, 0.2, 0.6])
@pytest.mark.parametrize("b_value", [1000.0, 3000.0])
def test_series_give_the_integral_over_sticks(odi, b_value):
    nodes = legendre_nodes()[0][::16]
    gradients = np.stack([np.sqrt(1 - nodes**2), 0 * nodes, nodes], axis=1)
    sticks = spread(100_000)
    weights = np.exp(1 / np.tan(np.pi / 2 * odi) * (sticks[:, 2] ** 2 - 1))
    squared = weights @ (sticks @ gradients.T) ** 2 / weights.sum()
    inside = weights @ np.exp(-b_value * 1.7e-3 * (sticks @ gradients.T) ** 2) / weights.sum()
    expected = 0.6 * inside + 0.4 * np.exp(-b_value * 1.7e-3 * (0.6 * squared + 0.4))
    found = tissue_signals(b_value, np.array([0.6]), np.array([odi]))[0, ::16]
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_signals_of_voxels_are_those_of_the_grid():
    ndi, odi, free, fibres = random_voxels(40)
    found = signals_at(HCP.b_values, fibres @ HCP.directions.T, ndi, odi, free)
    np.testing.assert_allclose(found, noise_free(HCP, ndi, odi, free, fibres, 20_000), atol=1e-3)


@pytest.mark.parametrize(("gradients", "least_r", "most_error"), [(UKB, 0.96, 0.03), (HCP, 0.98, 0.021)], ids=["two shells", "three shells"])  # fmt: skip
def test_ndi_is_recovered_from_noisy_signals(gradients, least_r, most_error):
    ndi, odi, free, fibres = random_voxels(3000)
    signals = with_rician_noise(noise_free(gradients, ndi, odi, free, fibres), snr=30)
    _, directions = fit_tensor(signals, gradients)
    maps = fit_noddi(signals, gradients, directions)
    r, error, bias = np.corrcoef(maps.ndi, ndi)[0, 1], np.abs(maps.ndi - ndi).mean(), (maps.ndi - ndi).mean()
    print(f"{gradients.words}: r {r:.3f}, mean absolute error {error:.4f}, bias {bias:+.4f}")
    assert r >= least_r and error <= most_error and abs(bias) <= 0.005
    assert np.corrcoef(maps.odi, odi)[0, 1] >= 0.97 and np.corrcoef(maps.free_water, free)[0, 1] >= 0.85
    assert maps.noise_sd == pytest.approx(1000 / 30, rel=0.03)


def test_without_the_noise_floor_ndi_would_be_too_high():
    ndi, odi, free, fibres = random_voxels(400)
    signals = with_rician_noise(noise_free(HCP, ndi, odi, free, fibres), snr=15)
    told = fit_noddi(signals, HCP, fibres, SMALL)
    # told of next to no noise, the fit takes the floor for signal
    untold = fit_noddi(signals, HCP, fibres, SMALL, noise_sd=1.0)
    assert abs((told.ndi - ndi).mean()) < 0.015 < (untold.ndi - ndi).mean()


def test_units_of_the_scanner_and_order_of_volumes_do_not_matter():
    ndi, odi, free, fibres = random_voxels(60)
    signals = with_rician_noise(noise_free(UKB, ndi, odi, free, fibres), snr=30)
    maps = fit_noddi(signals, UKB, fibres, SMALL)
    np.testing.assert_allclose(fit_noddi(signals * 7.3, UKB, fibres, SMALL).ndi, maps.ndi, atol=2e-3)
    order = np.random.default_rng(0).permutation(len(UKB))
    mixed = type(UKB)(UKB.b_values[order], UKB.directions[order])
    np.testing.assert_allclose(fit_noddi(signals[:, order], mixed, fibres, SMALL).ndi, maps.ndi, atol=2e-3)
    np.testing.assert_allclose(fit_noddi(signals, UKB, -fibres, SMALL).ndi, maps.ndi, atol=2e-3)


def test_b_values_that_jitter_are_one_shell():
    jitter = np.random.default_rng(0).integers(-10, 11, len(UKB)) * (UKB.b_values > 0)
    jittered = type(UKB)(UKB.b_values + jitter, UKB.directions)
    assert jittered.shells == [1000.0, 2000.0] and jittered.words == "5 x b0 + 50 x b1000 + 50 x b2000"
    ndi, odi, free, fibres = random_voxels(200)
    signals = with_rician_noise(noise_free(jittered, ndi, odi, free, fibres), snr=60)
    plain = with_rician_noise(noise_free(UKB, ndi, odi, free, fibres), snr=60)
    errors = [np.abs(fit_noddi(*own, fibres, SMALL).ndi - ndi).mean() for own in ((signals, jittered), (plain, UKB))]
    assert errors[0] < 1.1 * errors[1]


def test_voxels_are_fitted_alike_in_any_chunks(monkeypatch):
    ndi, odi, free, fibres = random_voxels(80)
    signals = with_rician_noise(noise_free(UKB, ndi, odi, free, fibres), snr=30)
    whole = fit_noddi(signals, UKB, fibres, SMALL).ndi
    monkeypatch.setitem(__import__("bundle.mapping.noddi", fromlist=["x"]).ELEMENTS_AT_ONCE, "cpu", 1)
    np.testing.assert_allclose(fit_noddi(signals, UKB, fibres, SMALL).ndi, whole, atol=1e-4)


def test_empty_voxels_do_no_harm():
    ndi, odi, free, fibres = random_voxels(50)
    signals = with_rician_noise(noise_free(UKB, ndi, odi, free, fibres), snr=30)
    signals[:5] = 0
    maps = fit_noddi(signals, UKB, fibres, SMALL)
    assert np.isfinite(maps.ndi).all() and (maps.ndi >= 0).all() and (maps.ndi <= 1).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_what_the_cpu_gives():
    ndi, odi, free, fibres = random_voxels(500)
    signals = with_rician_noise(noise_free(UKB, ndi, odi, free, fibres), snr=30)
    on_cpu, on_gpu = (fit_noddi(signals, UKB, fibres, device=device).ndi for device in ("cpu", "cuda"))
    np.testing.assert_allclose(on_gpu, on_cpu, atol=5e-3)


def test_rician_mean_is_that_of_drawn_noise():
    for signal in (0.0, 0.05, 0.3):
        drawn = with_rician_noise(np.full(400_000, signal), snr=20).mean() / 1000
        assert rician_mean(np.array([signal]), 0.05)[0] == pytest.approx(drawn, abs=3e-4)


def test_noise_is_found_in_one_shell_or_in_volumes_without_weighting():
    ndi, odi, free, fibres = random_voxels(800)
    signals = with_rician_noise(noise_free(UKB, ndi, odi, free, fibres), snr=30)
    own = UKB.shell_of == 1000
    assert noise_sd_of(signals[:, own], UKB.directions[own]) == pytest.approx(1000 / 30, rel=0.03)
    few = scheme((8, 0), (12, 1000), (12, 2000))
    signals = with_rician_noise(noise_free(few, ndi, odi, free, fibres), snr=30)
    assert estimate_noise(signals, few) == pytest.approx(1000 / 30, rel=0.05)
    with pytest.raises(ValueError, match="2 x b0"):
        estimate_noise(signals[:, :26], scheme((2, 0), (12, 1000), (12, 2000)))


def test_fa_of_a_known_tensor():
    gradients = scheme((4, 0), (30, 1000))
    along = np.array([0.6, 0.8, 0])
    across, fast = 0.4e-3, 1.6e-3
    squared = (gradients.directions @ along) ** 2
    signal = 500 * np.exp(-gradients.b_values * (across * (gradients.directions**2).sum(1) + (fast - across) * squared))
    fa, directions = fit_tensor(signal[None], gradients)
    mean = (fast + 2 * across) / 3
    spread_of = (fast - mean) ** 2 + 2 * (across - mean) ** 2
    assert fa[0] == pytest.approx(np.sqrt(1.5 * spread_of / (fast**2 + 2 * across**2)), abs=1e-4)
    assert abs(directions[0] @ along) == pytest.approx(1, abs=1e-4)
