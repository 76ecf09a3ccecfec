"""Participants in families, some of whom share what they score."""

import numpy as np


def related_cohort(seed, n_families=150, n_scores=4, shared=0.0):
    """Labels and scores that relatives share, and nothing else does."""
    rng = np.random.default_rng(seed)
    family = np.repeat(np.arange(n_families), rng.integers(1, 4, n_families))
    wish = np.sqrt(shared) * rng.standard_normal(n_families)[family] + np.sqrt(1 - shared) * rng.standard_normal(
        len(family)
    )
    labels = np.digitize(wish, np.quantile(wish, [0.33, 0.67]))
    common = rng.standard_normal((n_families, n_scores))[family]
    scores = np.sqrt(shared) * common + np.sqrt(1 - shared) * rng.standard_normal((len(family), n_scores))
    return scores, labels, family
