"""Files that are either whole or not there, and that one process at a time may change."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def temporary_name(path: Path) -> Path:
    """A hidden name beside `path`, with the same suffixes, that no other process chooses, on no machine that shares the disk."""
    return path.with_name(f".{os.getpid()}.{secrets.token_hex(4)}.{path.name}")


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path` (same suffixes) to write to; it takes `path`'s place if nothing fails.

    Raises:
        OSError: as the writing did, for example on a full disk; what was at `path` before is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(text: str, file: str | Path) -> None:
    """Write a text in UTF-8, whole or not at all; its folder is made."""
    with atomic_path(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
