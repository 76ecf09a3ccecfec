"""What ComBat estimates: the axes it works along, and a site's shift and scale along each."""

from __future__ import annotations

import numpy as np

from bundle.analysis.code_space import principal_axes

MOST_AXES, PEOPLE_PER_AXIS = 50, 10
ROUNDS, CONVERGED = 200, 1e-6
LEAST_VALUES = 3
"""Values per participant that a prior can be estimated from."""


def axes_above_noise(centred: np.ndarray) -> np.ndarray:
    """Principal axes `(E, D)` of centred values `(N, E)` that stand out of white noise: at most 50, and one for ten participants.

    Source: Gavish and Donoho (2014), IEEE Transactions on Information Theory 60, 5040-5053: the hard threshold where the
    noise is not known, a multiple of the median singular value.
    """
    variances, axes = principal_axes(centred)
    singular = np.sqrt(variances)
    ratio = min(centred.shape) / max(centred.shape)
    threshold = (0.56 * ratio**3 - 0.95 * ratio**2 + 1.82 * ratio + 1.43) * np.median(singular)
    count = min(MOST_AXES, len(centred) // PEOPLE_PER_AXIS, int((singular > threshold).sum()))
    return axes[:, : max(1, count)]


def shift_and_scale(own: np.ndarray, has_sign: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Empirical Bayes mean and standard deviation `(E,)` of one site's participants `(n, E)`.

    The prior of the E means is a normal distribution, that of the variances an inverse gamma; both have the moments of the
    site's own E estimates. With fewer than three values there is nothing to learn a prior from: means and deviations are
    then the plain ones.

    Args:
        own: values of the site's participants, in units of what they are within sites.
        has_sign: whether up and down mean something for a value. They do not for a principal axis, so the prior of the
            means is then about 0.

    Source: Johnson, Li and Rabinovic (2007), equations 3.1 to 3.3.
    """
    count = len(own)
    mean = own.mean(axis=0)
    variance = own.var(axis=0, ddof=1) if count > 1 else np.ones_like(mean)
    of_variances = float(variance.var(ddof=1)) if len(mean) >= LEAST_VALUES else 0.0
    prior_mean = mean.mean() if has_sign else 0.0
    prior_variance = np.square(mean - prior_mean).sum() / max(len(mean) - has_sign, 1)
    if of_variances <= 1e-12 or prior_variance <= 1e-12:
        return mean, np.sqrt(np.where(variance > 0, variance, 1.0))
    middle = variance.mean()
    shape = 2 + middle**2 / of_variances
    rate = middle * (1 + middle**2 / of_variances)
    shift, scale = mean, variance
    for _ in range(ROUNDS):
        new_shift = (count * prior_variance * mean + scale * prior_mean) / (count * prior_variance + scale)
        squares = (count - 1) * variance + count * (mean - new_shift) ** 2
        new_scale = (rate + squares / 2) / (count / 2 + shape - 1)
        moved = max(np.abs(new_shift - shift).max(), np.abs(new_scale - scale).max())
        shift, scale = new_shift, new_scale
        if moved < CONVERGED:
            break
    return shift, np.sqrt(scale)
