"""Set up the process that a stage runs in."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from types import TracebackType

import torch

from bundle.data.problems import InputProblems
from bundle.running.command_line import check_command_line


def start_process(seed: int, deterministic: bool = False) -> None:
    """Seed torch, choose deterministic algorithms if asked (slower on GPUs), keep freed memory, speak plainly."""
    sys.excepthook = show_error
    check_command_line(sys.argv[1:])
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputProblems(
            "Process",
            [
                "One training uses one device: start it without torchrun (several processes would write one results folder)."
            ],
        )
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(bool(deterministic))
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Ask glibc to keep freed memory rather than return it to the kernel.

    Every large tensor on the CPU otherwise pays for fresh pages, which slows elementwise operations several times.
    """
    if platform.libc_ver()[0] == "glibc":
        m_mmap_max, m_trim_threshold = -4, -1  # from malloc.h
        libc = ctypes.CDLL(None)
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)


def show_error(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """An uncaught error, for participants: problems of their input without a traceback, others with their cause last.

    A config builds objects inside objects, and every level wraps the error of the one below. What a network of ours
    says of its settings is a problem of input too: `custom_nets` stands alone, so it raises plain `ValueError`.
    """
    if isinstance(error, KeyboardInterrupt):
        print("\nInterrupted; the same command goes on or starts again.", file=sys.stderr)
        return
    root: BaseException = error
    while root.__cause__ is not None and not isinstance(root, InputProblems):
        root = root.__cause__
    if isinstance(root, InputProblems):
        print(f"\n{root}", file=sys.stderr)
        return
    if isinstance(root, ValueError) and _raised_in(root).startswith("custom_nets."):
        print(f"\n{InputProblems('Network', [str(root)])}", file=sys.stderr)
        return
    sys.__excepthook__(kind, error, traceback)
    if root is not error:
        print(f"\nCause: {type(root).__name__}: {root}", file=sys.stderr)


def _raised_in(error: BaseException) -> str:
    """The module that raised it."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return str(last.tb_frame.f_globals.get("__name__", "")) if last is not None else ""
