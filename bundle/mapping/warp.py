"""A map from the template to a participant: where each voxel of the template's grid lies in the participant's T1w image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, map_coordinates

from bundle.data.deformation import jacobian_determinant
from bundle.mapping.volume import apply, grid_points

MOST_SMOOTHINGS = 10


@dataclass(frozen=True)
class Warp:
    """psi(x) = A (x + u(x)): a diffeomorphism x + u of the template, then an affine map to the participant's world.

    Attributes:
        displacement: `(3, D, H, W)` u in RAS mm on the template's grid.
        grid_affine: `(4, 4)` of that grid, voxels to RAS mm.
        affine: `(4, 4)` A, RAS mm on both sides.
        n_unfolded: voxels with a Jacobian determinant of 0 or less before `unfolded` fixed them.
    """

    displacement: np.ndarray
    grid_affine: np.ndarray
    affine: np.ndarray
    n_unfolded: int = 0

    @staticmethod
    def of_affine(affine: np.ndarray, shape: Sequence[int], grid_affine: np.ndarray) -> Warp:
        """A warp that is affine."""
        return Warp(np.zeros((3, *shape), dtype=np.float32), grid_affine, affine)

    @staticmethod
    def of_points(points: np.ndarray, grid_affine: np.ndarray, weights: np.ndarray) -> Warp:
        """A warp from where each voxel goes, `(3, D, H, W)` RAS mm; its affine part is the best fit over the weights."""
        own = grid_points(points.shape[1:], grid_affine)
        some = weights > 0
        design = np.concatenate([own[:, some], np.ones((1, int(some.sum())))])
        affine = np.eye(4)
        affine[:3] = np.linalg.lstsq(design.T, points[:, some].T, rcond=None)[0].T
        return Warp((apply(np.linalg.inv(affine), points) - own).astype(np.float32), grid_affine, affine)

    def with_displacement(self, displacement: np.ndarray) -> Warp:
        """Another nonlinear part."""
        return replace(self, displacement=np.asarray(displacement, dtype=np.float32))

    @property
    def points(self) -> np.ndarray:
        """`(3, D, H, W)` psi at the grid's voxels, RAS mm in the participant's world."""
        return apply(self.affine, grid_points(self.displacement.shape[1:], self.grid_affine) + self.displacement)

    def template_points(self, points: np.ndarray, rounds: int = 12) -> np.ndarray:
        """Where points of the participant lie in the template: psi backwards, by fixed-point iteration.

        Args:
            points: `(3, ...)` RAS mm in the participant's world.
        """
        target = apply(np.linalg.inv(self.affine), points)
        to_voxels = np.linalg.inv(self.grid_affine)
        found = target
        for _ in range(rounds):
            where = apply(to_voxels, found)
            found = target - np.stack([map_coordinates(u, where, order=1, mode="nearest") for u in self.displacement])
        return found

    @property
    def affine_determinant(self) -> float:
        """det A: above 1 if the participant's head is larger than the template's."""
        return float(np.linalg.det(self.affine[:3, :3]))

    @property
    def jacobian(self) -> np.ndarray:
        """`(D, H, W)` det D(x + u), without the affine part: above 1 where the participant is locally larger."""
        # a change of the axes' units does not change the determinant, so voxels will do
        voxels = np.tensordot(np.linalg.inv(self.grid_affine[:3, :3]), self.displacement, 1)
        return jacobian_determinant(torch.from_numpy(np.ascontiguousarray(voxels, dtype=np.float32))).numpy()

    def unfolded(self) -> Warp:
        """The same, smoothed little by little where it folds, until no voxel has a determinant of 0 or less.

        Raises:
            ValueError: if it still folds after ten rounds: no sensible registration does.
        """
        warp, folds = self, self.jacobian <= 0
        n_folds = int(folds.sum())
        for _ in range(MOST_SMOOTHINGS):
            if not folds.any():
                return replace(warp, n_unfolded=n_folds)
            near = np.clip(gaussian_filter(folds.astype(np.float32), 3) * 200, 0, 1)
            smooth = np.stack([gaussian_filter(part, 1.5, mode="nearest") for part in warp.displacement])
            warp = warp.with_displacement(near * smooth + (1 - near) * warp.displacement)
            folds = warp.jacobian <= 0
        if folds.any():
            raise ValueError(f"The warp still folds at {int(folds.sum())} voxels: the registration failed.")
        return replace(warp, n_unfolded=n_folds)
