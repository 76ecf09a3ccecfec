import numpy as np

from bundle.analysis.family_draws import family_draws, family_subsamples


def test_families_are_drawn_whole():
    family_of, counts = family_draws(["a", "b", "a", "c"], 50, 0)
    assert family_of.tolist() == [0, 1, 0, 2] and (counts.sum(axis=1) == 3).all() and len(np.unique(counts)) > 2


def test_half_samples_are_whole_families():
    families = np.repeat(np.arange(30), 3)
    for rows in family_subsamples(families, 5, 0.5, seed=0):
        assert len(rows) == 45 and (np.bincount(families[rows])[np.unique(families[rows])] == 3).all()
