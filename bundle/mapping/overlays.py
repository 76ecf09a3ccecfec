"""The pictures by which a participant's mapping is judged: edges and colours over three slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion

from bundle.data.atomic import atomic_path
from bundle.mapping.target import Target
from bundle.mapping.volume import Volume, apply, grid_points, read_volume
from bundle.mapping.warp import Warp

SIZE = 200
"""Pixels of a slice's longer side."""
MARGIN_MM = 12
"""Around the brain in the picture of the head."""
RED, YELLOW = (255, 64, 48), (255, 214, 0)


def draw_overlays(folder: Path, maps: Mapping[str, Path], warp: Warp, target: Target, is_log: bool) -> list[str]:
    """Write `<name>.jpg` into the participant's folder; the names that were drawn.

    Args:
        folder: with what the participant's steps left.
        maps: map -> file on the network's grid.
        warp: template to T1w.
        target: the template.
        is_log: whether JAC holds logarithms.
    """
    t1w, mask = read_volume(folder / "t1w.nii.gz"), read_volume(folder / "brain_mask.nii.gz")
    grid = _square_grid(t1w)
    head, is_brain = t1w.at(grid), mask.at(grid) > 0.5
    in_template = t1w.at(warp.points) * (mask.at(warp.points) > 0.5)
    grey = _grey(in_template, in_template[target.mask])
    white = target.mask & (target.template.voxels > np.percentile(target.template.voxels[target.mask], 62))
    pictures = {
        "brain": _strip(_grey(head, head[is_brain]), is_brain, [(is_brain, RED)], MARGIN_MM / 1.5),
        "template": _strip(grey, target.mask, [(white, YELLOW), (target.mask, RED)]),
    }
    own = grid_points(target.template.shape, target.template.affine)
    if "FA" in maps:
        fa = read_volume(maps["FA"]).at(own)
        share = np.clip((fa - 0.15) / 0.35, 0, 0.85)[..., None]
        hot = np.stack([np.full_like(fa, 255), 255 * np.clip(fa / 0.6, 0, 1), np.zeros_like(fa)], axis=-1)
        pictures["fa"] = _strip((1 - share) * grey + share * hot, target.mask)
    if "NDI" in maps:
        pictures["ndi"] = _strip(_grey(read_volume(maps["NDI"]).at(own), np.array([0, 0.9])), target.mask)
    if "JAC" in maps:
        jacobian = read_volume(maps["JAC"]).at(own)
        colours = _diverging(jacobian if is_log else np.log(np.maximum(jacobian, 0.01)))
        pictures["jac"] = _strip(np.where(target.mask[..., None], colours, 0), target.mask)
    for name, picture in pictures.items():
        with atomic_path(folder / f"{name}.jpg") as temporary:
            picture.save(temporary, format="jpeg", quality=80, optimize=True)
    return list(pictures)


def _square_grid(volume: Volume) -> np.ndarray:
    """Points of a 1.5 mm grid over an image, so that pictures have the proportions of heads."""
    corners = apply(volume.affine, (np.array(np.meshgrid(*[(0, size - 1) for size in volume.shape], indexing="ij"))).reshape(3, -1))  # fmt: skip
    low, high = corners.min(axis=1), corners.max(axis=1)
    affine = np.diag([1.5, 1.5, 1.5, 1.0])
    affine[:3, 3] = low
    return grid_points([int(extent // 1.5) + 1 for extent in high - low], affine)


def _grey(voxels: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """`(D, H, W, 3)`, black to white between the 1st and 99th percentile of what is shown."""
    low, high = np.percentile(shown, [1, 99]) if shown.size > 2 else shown
    scaled = 255 * np.clip((voxels - min(low, 0)) / max(high - min(low, 0), 1e-6), 0, 1)
    return np.repeat(scaled[..., None], 3, axis=-1)


def _diverging(logarithms: np.ndarray) -> np.ndarray:
    """Blue below 0, white, red above; full colour at a factor of 2."""
    value = np.clip(logarithms / np.log(2), -1, 1)[..., None]
    warm, cold = np.array([180, 4, 38.0]), np.array([59, 76, 192.0])
    return 245 + np.clip(value, 0, 1) * (warm - 245) + np.clip(-value, 0, 1) * (cold - 245)


def _strip(
    volume: np.ndarray,
    shown: np.ndarray,
    edges: Sequence[tuple[np.ndarray, tuple[int, int, int]]] = (),
    margin: float = 3,
) -> Any:
    """Sagittal, coronal and axial slice through the middle of a region, the participant's right at the right.

    Args:
        volume: `(D, H, W, 3)` colours from 0 to 255.
        shown: `(D, H, W)` region that fills the picture.
        edges: regions whose edges are drawn, and in which colour.
        margin: voxels around what is shown.
    """
    places = np.argwhere(shown) if shown.any() else np.array([[0, 0, 0], np.array(shown.shape) - 1])
    low = np.maximum(places.min(axis=0) - int(margin), 0)
    high = np.minimum(places.max(axis=0) + int(margin) + 1, shown.shape)
    box = tuple(slice(start, end) for start, end in zip(low, high, strict=True))
    colours, regions = volume[box], [(region[box], colour) for region, colour in edges]
    middle = np.array(colours.shape[:3]) // 2
    middle[0] += max(1, colours.shape[0] // 20)  # beside the midline, where there is more to see
    parts = []
    for axis in range(3):
        image = _drawn(np.take(colours, middle[axis], axis), "RGB")
        pixels = np.array(image)
        for region, colour in regions:
            inside = np.asarray(_drawn(255.0 * np.take(region, middle[axis], axis), "L")) > 127
            pixels[inside & ~binary_erosion(inside)] = colour
        square = Image.new("RGB", (SIZE, SIZE))
        square.paste(Image.fromarray(pixels), ((SIZE - image.width) // 2, (SIZE - image.height) // 2))
        parts.append(np.asarray(square))
    return Image.fromarray(np.concatenate(parts, axis=1))


def _drawn(values: np.ndarray, mode: str) -> Any:
    """A slice, up at the top, at the size of the page."""
    upright = np.swapaxes(values, 0, 1)[::-1]
    image = Image.fromarray(np.clip(upright, 0, 255).astype(np.uint8), mode)
    factor = SIZE / max(image.size)
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BILINEAR)
