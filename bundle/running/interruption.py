"""What a stage says when a participant stops it."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)


@contextmanager
def nothing_written_if_interrupted() -> Iterator[None]:
    """Turn Ctrl-C into a sentence; for stages that write at their end only.

    Raises:
        SystemExit: with status 130 after Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        logger.warning("Interrupted; nothing was written, the same command starts again.")
        raise SystemExit(130) from None


@contextmanager
def kill_as_interrupt() -> Iterator[None]:
    """Let a kill (SIGTERM, as clusters send it) stop the body as Ctrl-C does, so that it takes its stages with it.

    Only the main thread may set what a signal does; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
