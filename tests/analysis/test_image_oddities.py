import numpy as np
import pandas as pd
import pytest

from bundle.analysis.image_oddities import mirrored


def cohort(n_mirrored, n_people=24):
    """Measures of participants whose left and right differ alike, some of them mirrored."""
    side = np.where(np.arange(n_people) < n_mirrored, -1, 1)
    noise = np.random.default_rng(0).normal(0, 0.02, n_people)
    return pd.DataFrame(
        {"asymmetry": 0.6 * side + noise, "mirrored": 0.5 - 0.4 * side, "correlation": 0.5 + 0.4 * side}
    )


@pytest.mark.parametrize("n_mirrored", [0, 1, 6])
def test_mirrored_images_are_told_by_the_side_that_most_have(n_mirrored):
    assert [oddity.row for oddity in mirrored(cohort(n_mirrored))] == list(range(n_mirrored))


@pytest.mark.parametrize("n_mirrored", [7, 11])
def test_a_cohort_without_a_side_of_its_own_tells_nobody(n_mirrored):
    assert mirrored(cohort(n_mirrored)) == []
