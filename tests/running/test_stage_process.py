import sys
import threading
import time

import pytest
from monai.bundle import ConfigParser

from bundle.data.problems import InputProblems
from bundle.running.stage_process import StageFailed, run_stage, stage_command


@pytest.mark.parametrize("value", [None, True, 3, 0.5, "text", ["T1w", "FA"], {"T1w": 1, "FA": 3}])
def test_options_are_read_back_as_they_were(value):
    import fire

    words = stage_command("training", ["configs/train.yaml"], {"knob": value})
    read = fire.Fire(lambda **options: options["knob"], command=words[words.index("--knob") :])
    parser = ConfigParser({"knob": read})
    assert parser.get_parsed_content("knob") == value


def test_a_failing_stage_is_told_with_its_last_words(tmp_path):
    with pytest.raises(InputProblems, match=r"(?s)Stage training.*did you mean --max_epochs"):
        run_stage("training", ["configs/train.yaml"], {"max_epoch": 1}, tmp_path / "training.log")
    assert (tmp_path / "training.log").is_file()


def test_a_stage_is_interrupted_when_told_to_stop_and_has_its_own_variables(tmp_path, monkeypatch):
    program = "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); time.sleep(60)"
    monkeypatch.setattr("bundle.running.stage_process.stage_command", lambda *_: [sys.executable, "-c", program])
    stop, log = threading.Event(), tmp_path / "stage.log"

    def stop_once_it_runs():
        while not (log.is_file() and log.read_text()):
            time.sleep(0.05)
        stop.set()

    watcher = threading.Thread(target=stop_once_it_runs)
    watcher.start()
    with pytest.raises(StageFailed) as caught:
        run_stage("training", [], {}, log, environment={"CUDA_VISIBLE_DEVICES": "7"}, stop=stop)
    watcher.join()
    assert caught.value.stopped and log.read_text().startswith("7\n")


def test_several_configs_are_given_as_a_list():
    words = stage_command("training", ["a.yaml", "b.yaml"], {})
    assert words[-1] == "['a.yaml', 'b.yaml']"
