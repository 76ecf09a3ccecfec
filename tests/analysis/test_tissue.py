import numpy as np

from bundle.analysis.tissue import grey_and_white_matter


def test_planted_tissues_are_found():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, (12, 12, 12))
    image = np.array([0.2, 0.6, 1.0])[truth] + 0.03 * rng.standard_normal(truth.shape)
    mask = np.ones(truth.shape, dtype=bool)
    mask[0] = False
    grey, white = grey_and_white_matter(image, mask)
    assert np.array_equal(grey, (truth == 1) & mask)
    assert np.array_equal(white, (truth == 2) & mask)
