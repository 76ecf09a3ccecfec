"""Folds one after another, or side by side on several devices; one that fails does not stop the others."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from tqdm.auto import tqdm

from bundle.data.problems import InputProblems
from bundle.running.stage_process import StageFailed

logger = logging.getLogger(__name__)
Runner = Callable[[int, Mapping[str, str], threading.Event], None]
"""Runs one fold: its number, environment variables of its device, and an event that tells it to stop."""


def run_folds(
    numbers: Sequence[int], devices: Sequence[object], runner: Runner, progress: bool = True
) -> dict[int, str]:
    """Run every fold once; a device takes the next one when it is free.

    Args:
        numbers: of the folds, in order.
        devices: numbers (or names) of GPUs; each fold sees one of them alone. Empty: one fold after another on
            whatever there is.
        runner: runs one of them; a thread per device calls it.
        progress: show a bar.

    Returns:
        Fold -> what it said when it failed; nothing for those that did not.

    Raises:
        KeyboardInterrupt: if a participant stops it, after the folds that were running have stopped too.
    """
    free: queue.SimpleQueue = queue.SimpleQueue()
    for device in devices or [None]:
        free.put(device)
    stop = threading.Event()
    failed: dict[int, str] = {}

    def run(number: int) -> None:
        if stop.is_set():
            return
        device = free.get()
        try:
            runner(number, {} if device is None else {"CUDA_VISIBLE_DEVICES": str(device)}, stop)
        except StageFailed as error:
            if error.stopped:  # Ctrl-C reaches stages before it reaches their parent: begin no other fold
                stop.set()
            raise
        finally:
            free.put(device)

    with ThreadPoolExecutor(max(1, len(devices))) as pool:
        running: dict[Future, int] = {pool.submit(run, number): number for number in numbers}
        try:
            with tqdm(total=len(numbers), desc="Folds", unit="fold", disable=not progress) as bar:
                while running:
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        number = running.pop(future)
                        if message := _failure(future):
                            failed[number] = message
                            logger.error("Fold %d failed: %s", number, message)
                        bar.update()
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return failed


def _failure(future: Future) -> str:
    """What a fold said when it failed, or nothing.

    Raises:
        KeyboardInterrupt: if it was stopped.
    """
    error = future.exception()
    if isinstance(error, StageFailed) and error.stopped:
        raise KeyboardInterrupt from error
    if isinstance(error, InputProblems | OSError):
        return str(error)
    if error is not None:
        raise error
    return ""
