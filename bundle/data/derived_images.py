"""Images made from a source's own: derived of warps, masked, Jacobians of one definition, on one grid. Made once, and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bundle.data.atomic import atomic_path
from bundle.data.brain_mask import masked
from bundle.data.derivations import Derivation
from bundle.data.jacobian import affine_determinant, to_log_jacobian
from bundle.data.layouts import JacobianKind
from bundle.data.problems import InputProblems
from bundle.data.resampling import resample

Grid = tuple[tuple[int, ...], np.ndarray]
"""Spatial size and affine."""
Derive = Callable[[Derivation], tuple[np.ndarray, np.ndarray]]
"""Makes voxels and affine of what a map is derived of."""

RECIPE_VERSION = 1
"""Larger by one whenever the same recipe makes other voxels than before, so that images which are kept are made again."""
MOST_FOLDED = 0.01
"""Of a Jacobian's voxels, that may be outside [0.01, 100]; single folds happen, whole regions are no registration."""


@dataclass(frozen=True)
class Recipe:
    """How one image is made of its source.

    Args:
        source: the source's image, or what it is derived of.
        target: where the made one is kept.
        mask: voxels where it is 0 become 0.
        jacobian: what the source's Jacobian is; None for other maps.
        matrix: affine to be regressed out of it.
        grid: to resample to.
    """

    source: Path | Derivation
    target: Path
    mask: Path | None = None
    jacobian: JacobianKind | None = None
    matrix: Path | None = None
    grid: Grid | None = None

    @property
    def changes_nothing(self) -> bool:
        """Whether the source itself will do."""
        is_plain = self.jacobian is None or self.jacobian == JacobianKind("log", "excluded")
        return isinstance(self.source, Path) and self.mask is None and self.grid is None and is_plain

    @property
    def signature(self) -> str:
        """Of the source files as they are now, of what is done with them, and of how."""
        own = self.source.files if isinstance(self.source, Derivation) else [self.source]
        files = [*own, *(path for path in (self.mask, self.matrix) if path is not None)]
        states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        grid = None if self.grid is None else (tuple(self.grid[0]), np.asarray(self.grid[1]).round(6).tolist())
        return hashlib.sha256(repr((RECIPE_VERSION, states, self.jacobian, grid)).encode()).hexdigest()[:16]


def make_image(recipe: Recipe, derive: Derive) -> int:
    """Make an image unless it is there already, made of the same source in the same way.

    Args:
        recipe: of the image.
        derive: called if the image is derived.

    Returns:
        The number of voxels of a Jacobian that were outside [0.01, 100].

    Raises:
        InputProblems: if a mask is on another grid, a matrix is none, or a warp is not what it should be.
    """
    signature = recipe.signature
    known = _made(recipe.target)
    if known.get("signature") == signature:
        return int(known["clipped"])
    volume, affine = derive(recipe.source) if isinstance(recipe.source, Derivation) else _read(recipe.source)
    n_clipped = 0
    if recipe.mask is not None:
        volume = masked(volume, affine, recipe.mask)
    if recipe.jacobian is not None:
        determinant = affine_determinant(recipe.matrix, recipe.jacobian.direction) if recipe.matrix else 1.0
        volume, n_clipped = to_log_jacobian(volume, recipe.jacobian.kind, determinant)
        if n_clipped > MOST_FOLDED * max(np.count_nonzero(volume), 1):
            raise InputProblems("Jacobians", [f"{n_clipped:,} voxels of {_name(recipe.source)} have determinants outside [0.01, 100], more than {MOST_FOLDED:.0%}: the registration failed, or these are no {recipe.jacobian.kind} determinants. Fix it, or exclude the participant."])  # fmt: skip
    if recipe.grid is not None:
        volume, affine = resample(volume, affine, *recipe.grid), recipe.grid[1]
    made = nib.Nifti1Image(np.asarray(volume, dtype=np.float32), affine)
    made.header.set_xyzt_units("mm")
    made.set_sform(affine, code="mni")
    made.set_qform(affine, code="mni")
    made.header["descrip"] = f"signature={signature} clipped={n_clipped}".encode()
    with atomic_path(recipe.target) as temporary:
        nib.save(made, temporary)
    return n_clipped


def _read(file: Path) -> tuple[np.ndarray, np.ndarray]:
    image: Any = nib.load(file)
    return image.get_fdata(dtype=np.float32), image.affine


def _name(source: Path | Derivation) -> str:
    return f"what is derived of {source.main}" if isinstance(source, Derivation) else str(source)


def _made(file: Path) -> Mapping[str, str]:
    """What an image that was made says of itself; nothing if it is not there or of another origin."""
    try:
        words = bytes(nib.load(file).header["descrip"].tobytes()).rstrip(b"\0").decode(errors="replace").split()
    except (OSError, nib.filebasedimages.ImageFileError):
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)


def what_was_done(recipes: Mapping[str, Sequence[Recipe]], clipped: Mapping[str, int]) -> list[str]:
    """A sentence for each map and kind of change, for participants.

    Args:
        recipes: modality -> those of all participants.
        clipped: modality -> voxels of Jacobians outside [0.01, 100].
    """
    notes = []
    for modality, own in recipes.items():
        notes += _what_was_derived(modality, own)
        masked = sum(recipe.mask is not None for recipe in own)
        if masked:
            notes.append(f"{modality}: voxels outside the source's brain mask were set to 0 in {masked} images.")
        kinds = {recipe.jacobian for recipe in own if recipe.jacobian is not None and isinstance(recipe.source, Path)}
        for kind in sorted(kinds, key=repr):
            taken = "the logarithm was taken" if kind.kind == "raw" else "they were logarithms already"
            affine = "the affine part was regressed out by each participant's matrix" if kind.affine == "included" else "they had no affine part"  # fmt: skip
            notes.append(f"{modality}: Jacobians are log determinants without the affine part; {taken}, {affine}.")
        if clipped.get(modality):
            notes.append(f"{modality}: {clipped[modality]:,} voxels had determinants outside [0.01, 100] and were set to its ends.")  # fmt: skip
    grids = {
        (*recipe.grid[0], float(recipe.grid[1][0, 0])) for own in recipes.values() for recipe in own if recipe.grid
    }
    for *shape, spacing in grids:
        notes.append(f"All maps were resampled, after smoothing to its resolution, to a grid of {' x '.join(map(str, shape))} voxels of {spacing:g} mm.")  # fmt: skip
    return notes


def _what_was_derived(modality: str, recipes: Sequence[Recipe]) -> list[str]:
    notes = []
    derived = [recipe.source for recipe in recipes if isinstance(recipe.source, Derivation)]
    for words, is_jacobian in sorted({(source.words, source.image is None) for source in derived}):
        count = sum(source.words == words for source in derived)
        people = f"{count} participants" if count == len(recipes) else f"{count} of {len(recipes)} participants, the others' is the source's own"  # fmt: skip
        if is_jacobian:
            notes.append(f"{modality}: Jacobians are log determinants without the affine part; they were derived of the warp {words} ({people}), less the affine that fits it best in the brain.")  # fmt: skip
        else:
            notes.append(f"{modality}: brought to the template from native space, {words} ({people}).")
    return notes
