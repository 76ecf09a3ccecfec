"""A file per command: it reads, calls, writes, and says what comes next."""
