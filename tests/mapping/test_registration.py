import numpy as np
import pytest

from bundle.mapping.registration import SAMPLES, _shares
from bundle.mapping.volume import Volume


@pytest.mark.parametrize(("spacing", "step"), [(1.0, 2), (2.0, 1)])
def test_samples_are_counted_in_the_image_that_is_registered(spacing, step):
    fixed = Volume(np.zeros((120, 120, 120), np.float32), np.diag([spacing] * 3 + [1]))
    mask = np.zeros(fixed.shape, bool)
    mask[:100] = True
    inside, everywhere = 100 * 120**2 // step**3, 120**3 // step**3
    assert _shares(fixed, mask, [1, 2]) == pytest.approx([SAMPLES / inside, min(1, 8 * SAMPLES / inside)])
    assert _shares(fixed, None, [1]) == pytest.approx([SAMPLES / everywhere])
