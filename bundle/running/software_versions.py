"""Versions of the software that results depend on."""

from __future__ import annotations

import platform

import monai
import nibabel as nib
import numpy as np
import torch


def software_versions() -> dict[str, str]:
    """What made a result, beside the encoder: name -> version."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "monai": monai.__version__,
        "numpy": np.__version__,
        "nibabel": nib.__version__,
    }
