"""Files that a git repository should not hold, with what proves them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

LIMIT = 25_000_000
"""Bytes from which the model zoo wants a file out of git."""
FILE = "large_files.yml"


def large_files(folder: Path, address: str | None) -> list[dict[str, Any]]:
    """What `large_files.yml` says of a package's large files.

    MONAI's `download_large_files` checks a file that is there against its hash and downloads nothing, so that the list also
    verifies an unpacked package without a network.

    Args:
        folder: the package's.
        address: where the files will be found, up to their path in the package; None if that is not known yet.
    """
    entries = []
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.stat().st_size > LIMIT:
            path = file.relative_to(folder).as_posix()
            url = f"{address.rstrip('/')}/{path}" if address else "not-published-yet"
            entries.append({"path": path, "url": url, "hash_val": sha256(file), "hash_type": "sha256"})
    return entries


def sha256(file: Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
