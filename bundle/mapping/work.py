"""One participant at work: their scans, what they are brought to, and the folder where steps leave what they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bundle.mapping.scans import Scans
from bundle.mapping.settings import MappingSettings
from bundle.mapping.steps import run_step
from bundle.mapping.target import Target
from bundle.mapping.volume import Volume, read_volume


@dataclass(frozen=True)
class Work:
    """What every step needs.

    Attributes:
        scans: the participant's files.
        target: template and grid.
        settings: see `MappingSettings`.
        folder: for what steps leave.
        progress: show bars.
    """

    scans: Scans
    target: Target
    settings: MappingSettings
    folder: Path
    progress: bool = False

    def file(self, name: str) -> Path:
        """A file that a step leaves."""
        return self.folder / name

    def step(
        self,
        name: str,
        parameters: Mapping[str, Any],
        inputs: Sequence[Path],
        outputs: Sequence[str],
        make: Callable[[], Mapping[str, Any]],
    ) -> dict[str, Any]:
        """Facts of a step, which is done if it was not; see `run_step`."""
        return run_step(self.folder, name, parameters, inputs, outputs, make)[0]

    @cached_property
    def t1w(self) -> Volume:
        """The head, without its bias field."""
        return read_volume(self.file("t1w.nii.gz"))

    @cached_property
    def mask(self) -> Volume:
        """The brain in it."""
        return read_volume(self.file("brain_mask.nii.gz"))

    @property
    def brain(self) -> Volume:
        """The head where it is brain, 0 elsewhere."""
        return self.t1w.like(self.t1w.voxels * (self.mask.voxels > 0.5))

    @property
    def brain_voxels(self) -> np.ndarray:
        """`(D, H, W)`."""
        return self.mask.voxels > 0.5
