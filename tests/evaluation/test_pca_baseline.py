import numpy as np
import pandas as pd
import pytest

from bundle.analysis.reconstruction import pca_r2
from bundle.data.problems import InputProblems
from bundle.evaluation.pca_baseline import pca_baseline, pca_verdict


@pytest.fixture
def people():
    rng = np.random.default_rng(0)
    axes = rng.standard_normal((2, 3, 40))
    together = np.einsum("nk,mkv->nmv", rng.standard_normal((30, 3)), axes) + 0.3 * rng.standard_normal((30, 2, 40))
    return together[:20], together[20:]


def test_people_who_lack_a_map_count_in_the_baseline_of_the_others(people):
    training, held_out = people
    lacking = training.copy()
    lacking[:15, 0] = np.nan
    lacking[17:, 1] = np.nan  # two participants have both
    baseline = pca_baseline(lacking, held_out, ["T1w", "FA"])
    assert baseline.n_training == [5, 17]
    for m, rows in enumerate((slice(15, 20), slice(0, 17))):
        alone = pca_r2(training[rows, m], held_out[:, m])
        np.testing.assert_allclose(baseline.curves[m, : len(alone)], alone)
    total = np.square(held_out).sum(axis=(0, 2))
    np.testing.assert_allclose(1 - baseline.squared_errors.sum(axis=0) / total, baseline.curves.max(axis=1))


def test_map_of_one_training_person_is_refused_by_name(people):
    training, held_out = people
    training[1:, 1] = np.nan
    with pytest.raises(InputProblems, match="FA: PCA needs at least two training participants who have it, got 1"):
        pca_baseline(training, held_out, ["T1w", "FA"])


def test_verdict_says_what_intervals_say_and_nothing_without_them():
    table = pd.DataFrame({"modality": ["T1w", "FA", "NDI"], "above_pca_low": [0.1, -0.1, -0.3]})
    words = pca_verdict(table.assign(above_pca_high=[0.2, 0.1, -0.1]))
    assert "better for T1w; no different beyond chance for FA; worse for NDI" in words
    assert "cannot be said" in pca_verdict(table.assign(above_pca_low=np.nan, above_pca_high=np.nan))
