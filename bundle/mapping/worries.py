"""Figures of a mapping, and which of them are out of the ordinary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LITRES = (0.8, 2.2)
"""Brains of adults with the fluid around them."""
USUAL = {"fa_median": ("FA", 0.05, 0.6), "ndi_median": ("NDI", 0.15, 0.9)}
"""Medians over the brain: outside, the scan or its gradients are not what they seem."""
LEAST_LIKENESS, LEAST_OVERLAP, LEAST_SNR, MOST_SNR = 0.6, 0.8, 8.0, 500.0
"""A registration that found the brain, an alignment that held, noise that NODDI can bear."""


def figures_of(facts: Mapping[str, Any]) -> list[tuple[str, str, float]]:
    """(column, words, value) of what was measured of a participant.

    Args:
        facts: of the participant's steps, as `bundle.mapping.person.map_person` gives them.
    """
    places = [
        ("brain_litres", "brain mask, litres", "brain", "litres"),
        ("likeness", "likeness to the template", "warp", "likeness"),
        ("affine_determinant", "head size against the template", "warp", "affine_determinant"),
        ("jacobian_lowest", "lowest Jacobian", "warp", "jacobian_lowest"),
        ("jacobian_highest", "highest Jacobian", "warp", "jacobian_highest"),
        ("folded_voxels", "voxels that fold", "warp", "folded_voxels"),
        ("overlap", "overlap of DWI and T1w brain", "alignment", "overlap"),
        ("signal_to_noise", "signal to noise without weighting", "noddi", "signal_to_noise"),
        ("fa_median", "median FA", "tensor", "fa_median"),
        ("ndi_median", "median NDI", "noddi", "ndi_median"),
    ]
    return [(column, words, float(facts[step][fact])) for column, words, step, fact in places if step in facts]


def worries_of(facts: Mapping[str, Any]) -> list[str]:
    """A sentence for each figure that is out of the ordinary; see `figures_of`."""
    figures = {column: value for column, _, value in figures_of(facts)}
    worries = []
    if not LITRES[0] <= figures["brain_litres"] <= LITRES[1]:
        worries.append(f"The brain mask holds {figures['brain_litres']:.2f} litres, adults' brains {LITRES[0]} to {LITRES[1]}: look at its edge.")  # fmt: skip
    if not figures["likeness"] >= LEAST_LIKENESS:  # NaN is no likeness, too
        worries.append(f"The registered T1w is little like the template (r = {figures['likeness']:.2f}): look at its edges.")  # fmt: skip
    if facts["warp"]["folded_voxels_before"]:
        worries.append(f"The warp folded at {facts['warp']['folded_voxels_before']} voxels and was smoothed there.")
    if not figures.get("overlap", 1) >= LEAST_OVERLAP:
        worries.append(f"DWI and T1w brain overlap by {figures['overlap']:.2f} only: look whether FA lies in white matter.")  # fmt: skip
    if not figures.get("signal_to_noise", LEAST_SNR) >= LEAST_SNR:
        worries.append(f"Signal to noise is {figures['signal_to_noise']:.1f}: NDI will be of little use below {LEAST_SNR:g}.")  # fmt: skip
    if figures.get("signal_to_noise", LEAST_SNR) > MOST_SNR:
        worries.append(f"Signal to noise is {figures['signal_to_noise']:.3g}, more than a scanner gives: are volumes missing or made up?")  # fmt: skip
    worries += [
        f"The median {name} is {figures[column]:.3g}, brains have {low:g} to {high:g}: look at the map and its gradients."
        for column, (name, low, high) in USUAL.items()
        if not low <= figures.get(column, low) <= high
    ]
    return worries
