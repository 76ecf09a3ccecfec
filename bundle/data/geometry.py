"""Whether a header says where its image lies, in which unit, and asks for no more than its file can hold."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import nibabel as nib

MOST_COMPRESSION = 1100
"""Bytes that one byte of a gzip file can stand for, at most (1032 by the format)."""
SMALLEST_IN_GZIP = 10_000
"""Bytes of a gzip file below which the ratio says nothing."""


def geometry_problem(image: Any) -> tuple[str, str] | None:
    """What is wrong with a header, and how to fix it; None if nothing is.

    NIfTI headers whose sform and qform codes are both 0 say nothing of position and directions: readers make them up, and left and
    right may be exchanged. Voxel sizes must be in mm, or in no unit that is named.

    Args:
        image: as nibabel loads it, voxels unread.
    """
    if min(image.shape, default=0) < 1:
        return f"has no voxels along an axis ({image.shape})", "make it again"
    header = image.header
    if isinstance(header, nib.Nifti1Header):
        if int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0:
            return (
                "says nothing of where it lies and which side is left (sform and qform codes are 0)",
                "copy the header of an image that does from the same scan, or convert it from DICOM again",
            )
        unit = header.get_xyzt_units()[0]
        if unit not in ("mm", "unknown"):
            return (
                f"says that its voxel sizes are in {unit}",
                "write them in mm (fslchxyzt or nibabel's set_xyzt_units)",
            )
    name = image.get_filename()
    if name and Path(name).is_file():
        asked = prod(image.shape) * image.get_data_dtype().itemsize
        size = Path(name).stat().st_size
        if name.endswith(".gz") and asked > MOST_COMPRESSION * max(size, SMALLEST_IN_GZIP):
            return f"asks for {asked / 1e9:.3g} GB, more than a file of {size} bytes can hold", "copy or make it again"
    return None
