"""The step `brain`: bias field and brain mask of the T1w image."""

from __future__ import annotations

from typing import Any

import numpy as np

from bundle.data.problems import InputProblems
from bundle.mapping.brain import choose_method, mask_by_deepbet, mask_by_template
from bundle.mapping.registration import correct_bias
from bundle.mapping.volume import read_volume, write_volume
from bundle.mapping.work import Work


def find_brain(work: Work) -> dict[str, Any]:
    """Leave `t1w.nii.gz` and `brain_mask.nii.gz`; which mask, and its litres.

    Raises:
        InputProblems: if a mask was to be given and is not, or no brain is found.
    """
    files, target = work.scans.files, work.target
    method = choose_method(work.settings.brain_mask, "T1w_mask" in files)
    if method == "given" and "T1w_mask" not in files:
        raise InputProblems("Brain mask", ["--brain_mask given, but there is none: add T1w_mask, or --brain_mask auto."])  # fmt: skip
    inputs = [files["T1w"], *([files["T1w_mask"]] if method == "given" else [])]
    parameters: dict[str, Any] = {"mask": method}
    if method == "template":
        parameters["template"] = target.words

    def make() -> dict[str, Any]:
        head = read_volume(files["T1w"])
        if method == "given":
            mask = read_volume(files["T1w_mask"]).voxels > 0.5
            corrected = correct_bias(head, mask)
        else:
            corrected = correct_bias(head)
            mask = mask_by_deepbet(corrected) if method == "deepbet" else mask_by_template(corrected, target.template, target.mask)  # fmt: skip
        litres = float(mask.sum() * np.prod(head.spacing) / 1e6)
        if not mask.any():
            raise InputProblems("Brain mask", [f"{files['T1w']}: no brain was found (by {method}): give T1w_mask."])
        write_volume(work.file("t1w.nii.gz"), corrected)
        write_volume(work.file("brain_mask.nii.gz"), head.like(mask))
        return {"mask": method, "litres": round(litres, 3)}

    return work.step("brain", parameters, inputs, ["t1w.nii.gz", "brain_mask.nii.gz"], make)
