"""Steps that leave a JSON beside what they make, and are not repeated while it would say the same."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bundle.data.atomic import atomic_path

logger = logging.getLogger(__name__)
PACKAGES = ("numpy", "scipy", "torch", "nibabel", "SimpleITK", "dipy", "fslpy", "antspyx", "dmri-amico")


def run_step(
    folder: Path,
    name: str,
    parameters: Mapping[str, Any],
    inputs: Sequence[Path],
    outputs: Sequence[str],
    make: Callable[[], Mapping[str, Any]],
) -> tuple[dict[str, Any], bool]:
    """Do a step, unless its sidecar says that it was done with the same parameters on the same inputs.

    Args:
        folder: where outputs and `<name>.json` are.
        name: of the step.
        parameters: what shapes the result, plain values.
        inputs: files that it reads, always in the same order; their content counts, not their names or dates.
        outputs: names of the files that it writes.
        make: does it; returns facts for the sidecar, plain values.

    Returns:
        The facts, and whether the step was done now.
    """
    sidecar = folder / f"{name}.json"
    key = json.loads(json.dumps({"parameters": dict(parameters), "inputs": [content_hash(path) for path in inputs]}))  # fmt: skip
    known = read_sidecar(sidecar)
    if all(known.get(part) == key[part] for part in key) and all((folder / output).is_file() for output in outputs):
        return known["facts"], False
    sidecar.unlink(missing_ok=True)
    started = time.perf_counter()
    facts = json.loads(json.dumps(dict(make())))
    record = {
        "step": name,
        **key,
        "outputs": list(outputs),
        "facts": facts,
        "seconds": round(time.perf_counter() - started, 1),
        "software": software(),
    }
    with atomic_path(sidecar) as temporary:
        temporary.write_text(json.dumps(record, indent=1))
    logger.info("%s: %s, %.0f s", folder.name, name, record["seconds"])
    return facts, True


def read_sidecar(file: Path) -> dict[str, Any]:
    """What a step left; nothing if it was not done, or was broken off."""
    try:
        return json.loads(file.read_text())
    except (OSError, json.JSONDecodeError):
        return {}


def content_hash(path: Path) -> str:
    """SHA-256 of a file, its first 16 digits."""
    state = path.stat()
    return _content_hash(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=4096)
def _content_hash(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


@lru_cache(maxsize=1)
def software() -> dict[str, str]:
    """Versions of the libraries that maps depend on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
