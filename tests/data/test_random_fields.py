import numpy as np
import pytest

from bundle.data.random_fields import (
    filter_noise,
    matern_filter,
    smooth_random_fields,
    squared_frequencies,
    unit_variance,
)

SHAPE = (32, 24, 40)


def test_random_fields_have_unit_variance_and_the_asked_smoothness():
    fields = smooth_random_fields(np.random.default_rng(0), 40, (32, 32, 32), fwhm_voxels=6.0)
    assert abs(fields.std() - 1) < 0.03
    # white noise filtered by a Gaussian of FWHM f correlates at lag r as exp(-2 ln 2 r^2 / f^2)
    at_lag_3 = np.mean(fields[:, 3:] * fields[:, :-3])
    assert abs(at_lag_3 - np.exp(-2 * np.log(2) * 9 / 36)) < 0.03


@pytest.mark.parametrize("exponent", [3.5, 5.0])
def test_power_of_matern_fields_falls_as_asked_below_their_scale(exponent):
    gains = unit_variance(matern_filter(SHAPE, 30.0, exponent))
    noise = np.random.default_rng(1).standard_normal((30, *SHAPE), dtype=np.float32)
    fields = filter_noise(noise, gains)
    assert np.abs(fields.mean(axis=(1, 2, 3))).max() < 1e-5
    assert abs(fields.std() - 1) < 0.05
    power = np.square(np.abs(np.fft.fftn(fields, axes=(1, 2, 3)))).mean(axis=0)
    frequencies = np.sqrt(squared_frequencies(SHAPE))
    fine = frequencies > 0.15  # wavelengths far below 30 voxels
    slope = np.polyfit(np.log(frequencies[fine]), np.log(power[fine]), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.15)
