import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bundle.data.one_at_a_time import LOCK, one_at_a_time


def test_no_two_are_in_the_block_at_once_and_nothing_is_left(tmp_path):
    folder = tmp_path / "new"
    inside, most = [], []

    def work(number):
        for _ in range(20):
            with one_at_a_time(folder):
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(most) == 160 and max(most) == 1 and not list(folder.iterdir())


def test_what_a_killed_process_leaves_stops_nobody(tmp_path):
    words = "import os, pathlib, sys; from bundle.data.one_at_a_time import one_at_a_time as one\n"
    words += "with one(pathlib.Path(sys.argv[1])): os._exit(1)"
    subprocess.run([sys.executable, "-c", words, str(tmp_path)], check=False)
    assert (tmp_path / LOCK).is_file()
    with pytest.raises(ValueError, match="of the block"), one_at_a_time(tmp_path):
        raise ValueError("of the block")
    assert not list(tmp_path.iterdir())


def test_whoever_waits_can_be_told_to_stop(tmp_path):
    stop = threading.Event()
    stop.set()
    with one_at_a_time(tmp_path):
        with pytest.raises(KeyboardInterrupt), one_at_a_time(tmp_path, stop):
            raise AssertionError("two in the block")
        assert (tmp_path / LOCK).is_file()
