"""Read before torch is: OpenMP threads that wait must not spin, or tests on a busy machine take several times as long."""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "0")
