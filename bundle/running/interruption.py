"""What a stage says when somebody stops it."""

from __future__ import annotations

import logging
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
