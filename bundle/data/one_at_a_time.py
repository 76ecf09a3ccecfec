"""A folder that one process at a time works in."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

logger = logging.getLogger(__name__)
LOCK = ".lock"
SECONDS_BETWEEN_LOOKS = 0.5


@contextmanager
def one_at_a_time(folder: Path, stop: threading.Event | None = None) -> Iterator[None]:
    """Wait until no other process is in such a block for this folder, on no machine that shares the disk; then run the block.

    The folder is made. While the block runs a hidden file is in it; one that a killed process leaves stops no participant.

    Args:
        folder: that is worked in.
        stop: once set, no participant waits any longer; for threads, which Ctrl-C does not reach.

    Raises:
        KeyboardInterrupt: if `stop` is set while it waits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / LOCK
    while True:
        with file.open("w") as stream:
            _lock(stream, folder, stop)
            if not _is_at(stream, file):  # whoever had it before took it away
                continue
            try:
                yield
            finally:
                file.unlink(missing_ok=True)
            return


_held: dict[Path, TextIOWrapper] = {}


def hold(folder: Path) -> bool:
    """Take a folder for this process until it ends; False if another process has it. A second call of one process is True.

    Args:
        folder: that is worked in; it is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if folder.resolve() in _held:
        return True
    stream = (folder / LOCK).open("w")
    try:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        return False
    except (OSError, ImportError) as error:
        logger.warning("The disk of %s has no locks (%s): let no other process work in it now.", folder, error)
    _held[folder.resolve()] = stream
    atexit.register((folder.resolve() / LOCK).unlink, missing_ok=True)
    return True


def _lock(stream: TextIOWrapper, folder: Path, stop: threading.Event | None) -> None:
    try:
        import fcntl  # Windows has none

        waits = False
        while True:
            try:
                return fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not waits:
                    logger.info("Another process works in %s: waiting until it is done.", folder)
                waits = True
                if stop is not None and stop.is_set():
                    raise KeyboardInterrupt from None
                time.sleep(SECONDS_BETWEEN_LOOKS)
    except (OSError, ImportError) as error:
        logger.warning("The disk of %s has no locks (%s): let no other process work in it now.", folder, error)


def _is_at(stream: TextIOWrapper, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), file.stat())
    except FileNotFoundError:
        return False
