"""The most memory that this process has held."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_memory_gb() -> float:
    """Largest resident size so far, in units of 1e9 bytes.

    Linux says it of this program alone (`VmHWM`); `getrusage`, which stands in elsewhere, would count in the process
    that started it.
    """
    found = re.search(r"VmHWM:\s*(\d+) kB", STATUS.read_text()) if STATUS.is_file() else None
    if found:
        return int(found[1]) * 1024 / 1e9
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held / 1e9 if sys.platform == "darwin" else held * 1024 / 1e9
