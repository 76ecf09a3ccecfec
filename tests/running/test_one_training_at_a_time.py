import subprocess
import sys

import pytest

from bundle.data.one_at_a_time import hold
from bundle.data.problems import InputProblems
from bundle.running.process import start_process

HOLDER = """
import sys
from pathlib import Path
from bundle.data.one_at_a_time import hold
print(hold(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def test_a_folder_is_held_by_one_process_until_it_ends(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "True\n"
        assert not hold(tmp_path)
        other.kill()
    assert hold(tmp_path) and hold(tmp_path)


def test_several_processes_of_one_training_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(sys, "argv", ["pytest"])
    with pytest.raises(InputProblems):
        start_process(0)
