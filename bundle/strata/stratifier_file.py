"""The stratifier on disk: what clustering leaves for assignment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bundle.analysis.stratifier import Stratifier
from bundle.data.atomic import atomic_path
from bundle.data.problems import InputProblems


def write_stratifier(stratifier: Stratifier, file: Path) -> None:
    """Write arrays and facts as one `.npz`, whole or not at all."""
    with atomic_path(file) as temporary, temporary.open("wb") as stream:
        arrays: dict[str, Any] = dict(stratifier.to_arrays())
        np.savez_compressed(stream, **arrays)


def read_stratifier(file: Path) -> Stratifier:
    """Read what clustering wrote.

    Raises:
        InputProblems: if it is not there or not a stratifier.
    """
    if not file.is_file():
        raise InputProblems(
            "Stratifier",
            [
                f"No {file}: give --stratifier, the stratifier.npz of the participants whose strata are asked for, or run clustering of theirs first."
            ],
        )
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
            stratifier = Stratifier.from_arrays(arrays)
    except Exception as error:  # whatever a broken file makes numpy raise
        raise InputProblems(
            "Stratifier", [f"{file} is not a stratifier ({error!r}): give the file that clustering wrote."]
        ) from error
    geometry = ("centres", "precision", "shares", "votes", "distances")
    broken = [name for name in geometry if not np.isfinite(getattr(stratifier, name)).all()]
    if broken:
        raise InputProblems(
            "Stratifier",
            [f"{file}: {', '.join(broken)} hold values that are not finite: copy it, or run clustering again."],
        )
    return stratifier
