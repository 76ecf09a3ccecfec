"""The diffusion tensor, by dipy's weighted least squares."""

from __future__ import annotations

import numpy as np

from bundle.mapping.gradients import Gradients
from bundle.mapping.optional import needed

VOXELS_AT_ONCE = 20_000


def fit_tensor(signals: np.ndarray, gradients: Gradients) -> tuple[np.ndarray, np.ndarray]:
    """Fractional anisotropy and the direction in which diffusion is fastest.

    Args:
        signals: `(V, N)` magnitudes; volumes above 1500 s/mm^2 are not used.
        gradients: of the N volumes.

    Returns:
        `(V,)` FA in [0, 1], and `(V, 3)` unit vectors along the image's axes.
    """
    dti, tables = needed("dipy.reconst.dti"), needed("dipy.core.gradients")
    used = gradients.for_tensor
    b_values = np.where(gradients.is_b0, 0, gradients.b_values)[used]
    table = tables.gradient_table(b_values, bvecs=gradients.directions[used], b0_threshold=0)
    model = dti.TensorModel(table, fit_method="WLS")
    fa = np.empty(len(signals), dtype=np.float32)
    directions = np.empty((len(signals), 3), dtype=np.float32)
    for start in range(0, len(signals), VOXELS_AT_ONCE):
        some = slice(start, start + VOXELS_AT_ONCE)
        fit = model.fit(signals[some][:, used].astype(np.float64))
        fa[some] = np.clip(np.nan_to_num(fit.fa), 0, 1)
        directions[some] = fit.evecs[..., 0]
    return fa, directions
