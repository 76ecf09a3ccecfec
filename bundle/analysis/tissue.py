"""Grey and white matter of a group, from its mean image."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans


def grey_and_white_matter(mean_image: np.ndarray, brain_mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two boolean `(D, H, W)` masks: the middle and the brightest of three intensity classes in the brain.

    On T1w, FA and NDI white matter is brightest. Three-class k-means, started at the 10th, 50th and 90th percentile,
    hence without randomness.

    Args:
        mean_image: `(D, H, W)` of T1w, FA or NDI.
        brain_mask: `(D, H, W)` booleans.
    """
    inside = mean_image[brain_mask].reshape(-1, 1)
    start = np.percentile(inside, [10, 50, 90]).reshape(-1, 1)
    classes = KMeans(n_clusters=3, init=start, n_init=1).fit(inside)
    rank = np.argsort(np.argsort(classes.cluster_centers_.ravel()))
    label = np.full(mean_image.shape, -1)
    label[brain_mask] = rank[classes.labels_]
    return label == 1, label == 2
