"""Warps whose Jacobian is known at every point, as the files of FSL and ITK."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from scipy.ndimage import spline_filter

from bundle.mapping.volume import FLIP, Volume, apply, grid_points, read_volume, write_volume
from bundle.mapping.warp import Warp

WAVE = 2 * np.pi / 240
RADIOLOGICAL = np.array([[0, -1], [1, 1], [2, 1]])


@dataclass(frozen=True)
class AnalyticWarp:
    """psi(x) = A (x + u(x)), u_i = h_i sin(w x_i + p_i): det D(x + u) is a product of three slopes."""

    shape: tuple[int, ...]
    grid: np.ndarray
    heights: np.ndarray
    phases: np.ndarray
    affine: np.ndarray

    @staticmethod
    def draw(number: int, shape, grid) -> AnalyticWarp:
        """Another one for each participant."""
        rng = np.random.default_rng([7, number])
        affine = np.eye(4) + np.pad(rng.normal(0, 0.01, (3, 3)), (0, 1))
        affine[:3, :3] *= rng.uniform(1.0, 1.1)
        affine[:3, 3] = rng.normal(0, 12, 3)
        return AnalyticWarp(tuple(shape), grid, rng.uniform(1.5, 3, 3), rng.uniform(-np.pi, np.pi, 3), affine)

    def displacement(self, points: np.ndarray) -> np.ndarray:
        """u, mm, at points of the template, both `(3, D, H, W)`."""
        columns = (3, 1, 1, 1)
        return self.heights.reshape(columns) * np.sin(WAVE * points + self.phases.reshape(columns))

    @cached_property
    def warp(self) -> Warp:
        """On the grid."""
        u = self.displacement(grid_points(self.shape, self.grid))
        return Warp(u.astype(np.float32), self.grid, self.affine)

    def log_jacobian(self, brain: np.ndarray) -> np.ndarray:
        """log det Dpsi less that of the affine that fits psi best in the brain, by normal equations."""
        x, y = (points[:, brain > 0].T for points in (grid_points(self.shape, self.grid), self.warp.points))
        x, y = x - x.mean(axis=0), y - y.mean(axis=0)
        fitted = np.linalg.solve(x.T @ x, x.T @ y)
        columns = (3, 1, 1, 1)
        phases = WAVE * grid_points(self.shape, self.grid) + self.phases.reshape(columns)
        slopes = np.log(1 + self.heights.reshape(columns) * WAVE * np.cos(phases)).sum(axis=0)
        return slopes + np.log(np.linalg.det(self.affine[:3, :3]) / np.linalg.det(fitted))

    @property
    def native_grid(self) -> np.ndarray:
        """A scanner's grid of as many voxels, around the participant's head."""
        middle = (np.array(self.shape) - 1) / 2
        grid = self.grid.copy()
        grid[:3, :3] *= 1.08
        grid[:3, 3] = apply(self.affine, apply(self.grid, middle)) - grid[:3, :3] @ middle
        return grid

    @cached_property
    def _template_points(self) -> np.ndarray:
        """Where voxels of the native grid lie in the template."""
        return self.warp.template_points(grid_points(self.shape, self.native_grid))

    def to_native(self, file: Path, target: Path, radiological: bool = False, is_mask: bool = False) -> Path:
        """An image of the template as the participant's scanner would see it."""
        image = read_volume(file)
        voxels = image.at(self._template_points)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_volume(target, Volume(voxels > 0.5 if is_mask else voxels, self.native_grid))
        if radiological:
            nib.save(nib.load(target).as_reoriented(RADIOLOGICAL), target)
        return target

    def write_itk(self, target: Path, displacement: np.ndarray | None = None) -> Path:
        """A composite, as antsRegistration and fMRIPrep write it: displacement (another, if given), then the affine."""
        target.parent.mkdir(parents=True, exist_ok=True)
        flip = np.array([-1, -1, 1.0]).reshape(3, 1, 1, 1)
        own = self.warp.displacement if displacement is None else displacement
        field = sitk.GetImageFromArray((flip * own).T.astype(np.float64), isVector=True)
        lps = FLIP @ self.grid
        sizes = np.linalg.norm(lps[:3, :3], axis=0)
        field.SetSpacing(sizes.tolist())
        field.SetDirection((lps[:3, :3] / sizes).ravel().tolist())
        field.SetOrigin(lps[:3, 3].tolist())
        moved = FLIP @ self.affine @ FLIP
        affine = sitk.AffineTransform(moved[:3, :3].ravel().tolist(), moved[:3, 3].tolist())
        composite = sitk.CompositeTransform(
            [affine, sitk.DisplacementFieldTransform(field)]
        )  # the last is applied first
        sitk.WriteTransform(composite, str(target))
        return target

    def write_fsl(self, target: Path, native: Path) -> Path:
        """A dense relative field, stored from right to left as FSL's templates are."""
        target.parent.mkdir(parents=True, exist_ok=True)
        image = nib.load(native)
        grid = self._reference
        voxels = np.stack(np.meshgrid(*[np.arange(size) for size in self.shape], indexing="ij"))
        there = apply(_fsl_mm(image) @ np.linalg.inv(image.affine), self.warp.points[:, ::-1])
        field = np.moveaxis(there - apply(_fsl_mm(grid), voxels), 0, -1)
        nib.save(nib.Nifti1Image(field.astype(np.float32), grid.affine), target)
        return target

    def write_fnirt(self, target: Path, native: Path, knots: int = 2) -> Path:
        """FNIRT's coefficients of cubic splines, `knots` voxels apart, with FLIRT's matrix in the s-form."""
        target.parent.mkdir(parents=True, exist_ok=True)
        image, grid = nib.load(native), self._reference
        to_native = _fsl_mm(image) @ np.linalg.inv(image.affine) @ self.affine
        counts = [-(-(size + 1) // knots) + 2 for size in self.shape]
        margin = 10  # samples beyond the first and last spline, so that the filter's border is far
        samples = [knots * (np.arange(-margin, count + margin) - 1.0) for count in counts]
        u = self.displacement(apply(grid.affine, np.stack(np.meshgrid(*samples, indexing="ij"))))
        inner = tuple(slice(margin, margin + count) for count in counts)
        values = [spline_filter(part)[inner] for part in np.tensordot(to_native[:3, :3], u, 1)]
        made = nib.Nifti1Image(np.stack(values, axis=-1).astype(np.float32), None)
        made.header["intent_code"] = 2007
        for number, (size, axis, count) in enumerate(zip(grid.header.get_zooms(), "xyz", self.shape, strict=True)):
            made.header[f"intent_p{number + 1}"], made.header[f"qoffset_{axis}"] = size, count
        made.header.set_zooms((knots, knots, knots, 1))
        flirt = np.linalg.inv(to_native @ grid.affine @ np.linalg.inv(_fsl_mm(grid)))
        made.set_sform(flirt, 1, update_affine=False)
        nib.save(made, target)
        return target

    @cached_property
    def _reference(self) -> nib.Nifti1Image:
        """The grid as FSL's templates are stored, from right to left."""
        return nib.Nifti1Image(np.zeros(self.shape, np.uint8), self.grid).as_reoriented(RADIOLOGICAL)


def _fsl_mm(image) -> np.ndarray:
    """Voxels to FSL's mm, as FSL documents it."""
    sizes = np.array(image.header.get_zooms()[:3], dtype=float)
    matrix = np.diag([*sizes, 1.0])
    if np.linalg.det(image.affine) > 0:
        matrix[0] = [-sizes[0], 0, 0, (image.shape[0] - 1) * sizes[0]]
    return matrix
