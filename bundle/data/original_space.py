"""From the network's grid back to where an image came from."""

from __future__ import annotations

import nibabel as nib
import numpy as np


def in_space_of(volume: np.ndarray, original: nib.Nifti1Image) -> nib.Nifti1Image:
    """A RAS volume on the network's grid, cropped and turned back to the orientation, grid and affine of an image."""
    canonical = nib.as_closest_canonical(original)
    starts = [(size - own) // 2 for size, own in zip(volume.shape, canonical.shape, strict=True)]
    cropped = volume[tuple(slice(start, start + own) for start, own in zip(starts, canonical.shape, strict=True))]
    back = nib.orientations.ornt_transform(nib.io_orientation(canonical.affine), nib.io_orientation(original.affine))
    turned = nib.orientations.apply_orientation(cropped.astype(np.float32), back)
    return nib.Nifti1Image(turned, original.affine)
