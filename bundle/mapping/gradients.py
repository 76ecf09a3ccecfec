"""Diffusion weighting of each volume: FSL's bvals and bvecs, read, fixed where that is safe, and grouped to shells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bundle.data.problems import InputProblems

B0_LIMIT = 100.0
"""s/mm^2: volumes up to here count as not weighted."""
SHELL_GAP, NOMINAL_STEP = 100.0, 50.0
"""s/mm^2: a gap of more than the first between sorted b-values starts a new shell; its nominal b-value is the median,
rounded to the second. Scanners jitter b-values by far less, and shells lie further apart."""
SHELL_WIDTH = 200.0
"""A group of b-values that spreads over more is none: b-values are dense, as those of q-space grids are."""
TENSOR_LIMIT = 1500.0
"""The tensor model holds up to about here."""
LEAST_TENSOR_DIRECTIONS, LEAST_SHELL_DIRECTIONS = 6, 6
NOISE_DIRECTIONS, NOISE_B0 = 20, 3
"""In the lowest shell, or without weighting: noise can be estimated from either."""
LARGEST_B = 20_000.0
"""Above any scanner's, in s/mm^2: larger values are in other units."""


@dataclass(frozen=True)
class Gradients:
    """Weighting and direction of N volumes.

    Attributes:
        b_values: `(N,)` s/mm^2.
        directions: `(N, 3)` unit vectors along the image's own axes; zeros where `is_b0`.
        notes: what was fixed.
    """

    b_values: np.ndarray
    directions: np.ndarray
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.b_values)

    @property
    def is_b0(self) -> np.ndarray:
        """`(N,)` volumes without weighting."""
        return self.b_values <= B0_LIMIT

    @property
    def shell_of(self) -> np.ndarray:
        """`(N,)` nominal b-value of each volume's shell; 0 without weighting."""
        shell_of = np.zeros(len(self))
        weighted = np.flatnonzero(~self.is_b0)
        ordered = weighted[np.argsort(self.b_values[weighted])]
        starts = np.flatnonzero(np.diff(self.b_values[ordered]) > SHELL_GAP) + 1
        for shell in np.split(ordered, starts) if len(ordered) else []:
            shell_of[shell] = np.round(np.median(self.b_values[shell]) / NOMINAL_STEP) * NOMINAL_STEP
        return shell_of

    @property
    def shells(self) -> list[float]:
        """Weighted shells in order."""
        return [float(shell) for shell in np.unique(self.shell_of[~self.is_b0])]

    @property
    def is_spread(self) -> np.ndarray:
        """`(N,)` volumes whose b-values, 200 s/mm^2 and more from end to end, are no shell."""
        widths = {shell: float(np.ptp(self.b_values[self.shell_of == shell])) for shell in self.shells}
        return np.array([widths.get(float(shell), 0.0) > SHELL_WIDTH for shell in self.shell_of])

    @property
    def for_tensor(self) -> np.ndarray:
        """`(N,)` volumes that the tensor is fitted to: whole shells of 1500 s/mm^2 or less, or the lowest if none is."""
        in_low_shell = self.shell_of <= max(TENSOR_LIMIT, min(self.shells, default=0))
        return np.where(self.is_spread, self.b_values <= TENSOR_LIMIT, in_low_shell)

    @property
    def words(self) -> str:
        """Such as `6 x b0 + 50 x b1000 + 50 x b2000`."""
        counts = [(shell, int((self.shell_of == shell).sum())) for shell in self.shells]
        return " + ".join([f"{int(self.is_b0.sum())} x b0", *(f"{count} x b{shell:.0f}" for shell, count in counts)])


def read_gradients(bvals: Path, bvecs: Path, n_volumes: int) -> Gradients:
    """Read both files for an image of that many volumes; a transposed `bvecs` is turned, anything else wrong is refused.

    Raises:
        InputProblems: naming file, expectation and remedy.
    """
    problems: list[str] = []
    b_values, vectors = _numbers(bvals, problems), _numbers(bvecs, problems)
    notes = []
    if b_values.size and min(np.atleast_2d(b_values).shape) != 1:
        what = (
            "these are gradient directions: bvals and bvecs are exchanged" if 3 in b_values.shape else "write one row"
        )
        problems.append(f"{bvals}: expected one row of b-values, got {_by(b_values)}: {what}.")
    elif b_values.size and b_values.size != n_volumes:
        problems.append(f"{bvals}: expected {n_volumes} b-values, one for each volume of the image, got {b_values.size}: was the image cut or the file of another scan?")  # fmt: skip
    vectors = np.atleast_2d(vectors)
    if vectors.size and vectors.shape != (3, n_volumes):
        if vectors.shape == (n_volumes, 3):
            vectors = vectors.T
            notes.append(f"{bvecs.name} had a row for each volume instead of three rows, and was turned")
        else:
            problems.append(f"{bvecs}: expected 3 rows of {n_volumes} numbers, one for each volume of the image, got {_by(vectors)}: was the image cut or the file of another scan?")  # fmt: skip
    if problems:
        raise InputProblems("Gradients", problems)
    gradients = _checked(b_values.ravel(), vectors.T, bvals, bvecs)
    return Gradients(gradients.b_values, gradients.directions, tuple(notes))


def _checked(b_values: np.ndarray, vectors: np.ndarray, bvals: Path, bvecs: Path) -> Gradients:
    problems = []
    if not np.isfinite(b_values).all() or (b_values < 0).any():
        problems.append(f"{bvals}: b-values must be 0 or more: make the file again.")
    elif b_values.max() < B0_LIMIT:
        problems.append(f"{bvals}: the largest b-value is {b_values.max():g}; expected s/mm^2, such as 1000 (1 ms/um^2 is 1000 s/mm^2).")  # fmt: skip
    elif b_values.max() > LARGEST_B:
        problems.append(f"{bvals}: the largest b-value is {b_values.max():g}; expected s/mm^2, such as 1000 (1e9 s/m^2 is 1000 s/mm^2).")  # fmt: skip
    elif not (b_values <= B0_LIMIT).any():
        problems.append(f"{bvals}: no volume has a b-value of {B0_LIMIT:g} or less: the scan needs at least one without weighting.")  # fmt: skip
    is_b0 = b_values <= B0_LIMIT
    lengths = np.linalg.norm(vectors, axis=1)
    wrong = ~is_b0 & ~(np.abs(lengths - 1) < 0.1)  # catches NaN too
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        problems.append(f"{bvecs}: expected unit vectors, {int(wrong.sum())} volumes have others, such as volume {first} (from 0) of length {lengths[first]:.3g}: make the file again.")  # fmt: skip
    if problems:
        raise InputProblems("Gradients", problems)
    directions = np.where(is_b0[:, None], 0, vectors / np.where(is_b0, 1, lengths)[:, None])
    return Gradients(b_values.astype(float), directions)


def why_no_tensor(gradients: Gradients) -> str:
    """Why FA cannot be computed; empty if it can."""
    used = gradients.for_tensor & ~gradients.is_b0
    design = np.einsum("ni,nj->nij", gradients.directions[used], gradients.directions[used]).reshape(-1, 9)
    if np.linalg.matrix_rank(design, tol=1e-3) >= LEAST_TENSOR_DIRECTIONS:
        return ""
    return f"a tensor needs {LEAST_TENSOR_DIRECTIONS} different directions up to b = {TENSOR_LIMIT:g}, the scan is {gradients.words}"  # fmt: skip


def why_no_noddi(gradients: Gradients) -> str:
    """Why NDI cannot be computed; empty if it can."""
    if gradients.is_spread.any():
        spread = gradients.b_values[gradients.is_spread]
        return (
            f"b-values from {spread.min():g} to {spread.max():g} s/mm^2 follow one another without a gap: NODDI is fitted to "
            "shells; give the volumes of some shells only"
        )
    shells = [
        shell
        for shell in gradients.shells
        if shell >= 500 and (gradients.shell_of == shell).sum() >= LEAST_SHELL_DIRECTIONS
    ]
    if len(shells) < 2:
        return (
            f"the scan is single-shell ({gradients.words}): neurite density and free water cannot be told apart with one "
            "b-value, NODDI needs two shells or more, such as 1000 and 2000 s/mm^2"
        )
    if max(shells) < 1500:
        return f"NODDI needs a shell of 1500 s/mm^2 or more, the scan is {gradients.words}"
    if (gradients.shell_of == gradients.shells[0]).sum() < NOISE_DIRECTIONS and gradients.is_b0.sum() < NOISE_B0:
        return (
            f"the noise cannot be estimated: {NOISE_DIRECTIONS} directions in the lowest shell or {NOISE_B0} volumes without "
            f"weighting are needed, the scan is {gradients.words}"
        )
    return why_no_tensor(gradients)


def _numbers(file: Path, problems: list[str]) -> np.ndarray:
    try:
        values = np.loadtxt(file)
    except (OSError, ValueError) as error:
        problems.append(f"{file}: cannot be read as rows of numbers ({error}): expected FSL's text format.")
        return np.empty(0)
    if values.size == 0:
        problems.append(f"{file}: is empty: expected FSL's text format.")
    return values


def _by(values: np.ndarray) -> str:
    return " x ".join(map(str, np.atleast_2d(values).shape))
