"""A raw subject with known truth: a head of known shape, and its diffusion scan by Watson-NODDI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from nilearn.datasets import (
    load_mni152_brain_mask,
    load_mni152_gm_template,
    load_mni152_template,
    load_mni152_wm_template,
)

from bundle.data.deformation import border_window, exponentiate
from bundle.data.random_fields import smooth_random_fields
from bundle.mapping.gradients import Gradients
from bundle.mapping.volume import Volume, apply, grid_points, write_volume
from bundle.mapping.warp import Warp
from bundle.mapping.watson import signals_at

UKB_SCHEME = ((5, 0), (50, 1000), (50, 2000))
"""(volumes, b-value in s/mm^2), as in UK Biobank."""
HCP_SCHEME = ((18, 0), (90, 1000), (90, 2000), (90, 3000))
UNWEIGHTED = {"grey": 800.0, "white": 560.0, "water": 1600.0}
"""Signal without diffusion weighting."""
VOXELS_AT_ONCE = 4000


@dataclass(frozen=True)
class RawSubject:
    """Scans and truth.

    Attributes:
        t1w: head without skull, in the participant's world.
        t1w_mask: its brain.
        dwi: `(D, H, W, N)` magnitudes, noisy.
        gradients: of the N volumes.
        ndi: truth on the DWI's grid, 0 outside the brain.
        warp: truth, template to T1w.
        t1w_to_dwi: truth, `(4, 4)` RAS mm.
    """

    t1w: Volume
    t1w_mask: Volume
    dwi: Volume
    gradients: Gradients
    ndi: Volume
    warp: Warp
    t1w_to_dwi: np.ndarray


def simulate_subject(
    seed: int = 0,
    t1w_mm: float = 1.0,
    dwi_mm: float = 2.0,
    scheme: Sequence[tuple[int, float]] = UKB_SCHEME,
    snr: float = 30.0,
    warp_mm: float = 3.0,
    head_size: float = 1.05,
) -> RawSubject:
    """Draw a subject from the MNI template that nilearn ships.

    NDI is .42 GM + .62 WM, ODI .55 in grey and .15 in white matter, free water what is neither; fibres follow a smooth
    random field.

    Args:
        seed: everything follows from it.
        t1w_mm, dwi_mm: voxel sizes.
        scheme: (volumes, b-value).
        snr: white matter without weighting over the noise of the DWI; the T1w has half its noise.
        warp_mm: root mean square of the nonlinear displacement.
        head_size: of the affine part.
    """
    rng = np.random.default_rng(seed)
    t1w, grey, white, brain = (_load(load) for load in (load_mni152_template, load_mni152_gm_template, load_mni152_wm_template, load_mni152_brain_mask))  # fmt: skip
    warp = _random_warp(rng, t1w, warp_mm, head_size)
    world = _grid(t1w, t1w_mm)
    image = Volume(np.zeros(world[0]), world[1])
    in_template = warp.template_points(grid_points(*world))
    head, mask = t1w.at(in_template, t1w_mm), brain.at(in_template) > 0.5
    bias = np.exp(0.15 * smooth_random_fields(rng, 1, world[0], 90 / t1w_mm)[0])
    noise = rng.standard_normal((2, *world[0])) / snr / 2
    head = 700 * np.hypot(head * mask * bias + noise[0], noise[1])

    t1w_to_dwi = _rigid(degrees=(2.0, -1.5, 1.0), shift=(1.5, -2.0, 1.0))
    grid = _grid(t1w, dwi_mm)
    points = warp.template_points(apply(np.linalg.inv(t1w_to_dwi), grid_points(*grid)))
    tissue = [np.clip(v.at(points, dwi_mm), 0, 1) for v in (grey, white)]
    inside = brain.at(points) > 0.5
    gradients = _gradients(rng, scheme)
    dwi, ndi = _diffusion(rng, tissue, inside, gradients, snr, dwi_mm)
    return RawSubject(image.like(head), image.like(mask), Volume(dwi, grid[1]), gradients, Volume(ndi, grid[1]), warp, t1w_to_dwi)  # fmt: skip


def write_subject(subject: RawSubject, folder: Path) -> dict[str, Path]:
    """Write it as scanners and converters do; name -> file, as `mapping --files` takes them."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"T1w": folder / "t1.nii.gz", "T1w_mask": folder / "t1_mask.nii.gz", "DWI": folder / "dwi.nii.gz", "bvals": folder / "bvals", "bvecs": folder / "bvecs"}  # fmt: skip
    write_volume(files["T1w"], subject.t1w)
    write_volume(files["T1w_mask"], subject.t1w_mask)
    image = nib.Nifti1Image(subject.dwi.voxels, subject.dwi.affine)
    image.set_data_dtype(np.int16)
    nib.save(image, files["DWI"])
    np.savetxt(files["bvals"], subject.gradients.b_values[None], fmt="%g")
    np.savetxt(files["bvecs"], subject.gradients.directions.T, fmt="%.6f")
    return files


def _load(load: Any) -> Volume:
    image = nib.as_closest_canonical(load(resolution=1))
    return Volume(np.asarray(image.dataobj, dtype=np.float32), np.asarray(image.affine, dtype=float))


def _grid(template: Volume, spacing: float) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape and affine of a grid over the template's box."""
    shape = tuple(int(size // spacing) for size in template.shape)
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = template.affine[:3, 3] + spacing / 2
    return shape, affine


def _random_warp(rng: np.random.Generator, template: Volume, warp_mm: float, head_size: float) -> Warp:
    spacing = 4.0
    shape, affine = _grid(template, spacing)
    velocity = smooth_random_fields(rng, 3, shape, 45 / spacing) * border_window(shape, 5)
    velocity *= warp_mm / spacing / np.sqrt(3)
    displacement = exponentiate(torch.from_numpy(velocity)).numpy() * spacing
    matrix = _rigid(degrees=(3.0, 2.0, -2.0), shift=(2.0, -3.0, 4.0)) @ np.diag([head_size, head_size * 0.98, head_size * 1.02, 1])  # fmt: skip
    return Warp(displacement.astype(np.float32), affine, matrix)


def _rigid(degrees: Sequence[float], shift: Sequence[float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = nib.eulerangles.euler2mat(*np.radians(degrees))
    matrix[:3, 3] = shift
    return matrix


def _gradients(rng: np.random.Generator, scheme: Sequence[tuple[int, float]]) -> Gradients:
    """Directions spread evenly over half a sphere in each shell, turned at random between shells."""
    b_values, directions = [], []
    for count, b_value in scheme:
        turns = np.arange(count) + 0.5
        height = 1 - turns / count
        angle = np.pi * (1 + 5**0.5) * turns
        radius = np.sqrt(1 - height**2)
        vectors = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)
        turned = vectors @ np.linalg.qr(rng.standard_normal((3, 3)))[0]
        directions.append(turned if b_value else np.zeros_like(turned))
        b_values += [float(b_value)] * count
    return Gradients(np.array(b_values), np.concatenate(directions))


def _diffusion(
    rng: np.random.Generator, tissue: Sequence[np.ndarray], inside: np.ndarray, gradients: Gradients, snr: float, spacing: float
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Noisy magnitudes `(D, H, W, N)` float32 and true NDI `(D, H, W)`."""
    grey, white = (part[inside] for part in tissue)
    solid = np.maximum(grey + white, 1e-3)
    grey, white = grey / np.maximum(solid, 1), white / np.maximum(solid, 1)
    water = np.clip(1 - grey - white, 0, 1)
    ndi = (0.42 * grey + 0.62 * white) / np.maximum(grey + white, 1e-3)
    odi = (0.55 * grey + 0.15 * white) / np.maximum(grey + white, 1e-3)
    odi = np.clip(odi, 0.05, 0.95)
    fibres = smooth_random_fields(rng, 3, inside.shape, 30 / spacing)[:, inside].T
    fibres /= np.linalg.norm(fibres, axis=1, keepdims=True)
    unweighted = UNWEIGHTED["grey"] * grey + UNWEIGHTED["white"] * white + UNWEIGHTED["water"] * water
    # free water's share of the signal is larger than of the voxel; what NODDI calls free water is the former
    share = UNWEIGHTED["water"] * water / unweighted
    signals = np.zeros((*inside.shape, len(gradients)), dtype=np.float32)
    own = np.empty((len(ndi), len(gradients)), dtype=np.float32)
    for start in range(0, len(ndi), VOXELS_AT_ONCE):
        some = slice(start, start + VOXELS_AT_ONCE)
        cosines = fibres[some] @ gradients.directions.T
        weights = np.where(gradients.is_b0, 0, gradients.b_values)
        own[some] = unweighted[some, None] * signals_at(weights, cosines, ndi[some], odi[some], share[some])
    signals[inside] = own
    sd = UNWEIGHTED["white"] / snr
    for number in range(len(gradients)):
        noise = rng.standard_normal((2, *inside.shape), dtype=np.float32) * sd
        signals[..., number] = np.hypot(signals[..., number] + noise[0], noise[1])
    truth = np.zeros(inside.shape, dtype=np.float32)
    truth[inside] = ndi
    return signals, truth
