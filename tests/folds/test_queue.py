import threading
import time
from collections import defaultdict

import pytest

from bundle.data.problems import InputProblems
from bundle.folds.queue import run_folds
from bundle.running.stage_process import StageFailed


def test_without_devices_folds_run_one_after_another():
    seen, running = [], threading.Lock()

    def runner(number, environment, stop):
        assert running.acquire(blocking=False) and environment == {}
        seen.append(number)
        running.release()

    assert run_folds([1, 2, 3], [], runner, progress=False) == {}
    assert seen == [1, 2, 3]


def test_each_device_has_one_fold_at_a_time_and_all_are_used():
    busy, done, guard = set(), defaultdict(list), threading.Lock()

    def runner(number, environment, stop):
        device = environment["CUDA_VISIBLE_DEVICES"]
        with guard:
            assert device not in busy
            busy.add(device)
        time.sleep(0.02)
        with guard:
            busy.remove(device)
            done[device].append(number)

    assert run_folds(range(1, 9), [0, 2], runner, progress=False) == {}
    assert set(done) == {"0", "2"} and sorted(done["0"] + done["2"]) == list(range(1, 9))
    assert min(len(folds) for folds in done.values()) >= 2


def test_devices_work_side_by_side():
    both = threading.Barrier(2, timeout=10)
    assert run_folds([1, 2], [0, 1], lambda *_: both.wait(), progress=False) == {}


def test_a_failing_fold_is_told_and_the_others_go_on():
    seen = []

    def runner(number, environment, stop):
        seen.append(number)
        if number == 2:
            raise StageFailed("Stage training", ["It failed; training.log ends with\n    NaN in participant sub-7"])

    failed = run_folds([1, 2, 3], [], runner, progress=False)
    assert seen == [1, 2, 3] and list(failed) == [2] and "NaN in participant sub-7" in failed[2]


def test_an_interrupted_stage_stops_the_queue_and_no_fold_is_begun_after_it():
    seen = []

    def runner(number, environment, stop):
        seen.append(number)
        raise StageFailed("Stage training", ["Interrupted"], stopped=True)

    with pytest.raises(KeyboardInterrupt):
        run_folds(list(range(1, 50)), [], runner, progress=False)
    assert seen == [1]


def test_folds_that_run_are_told_to_stop():
    told, both = [], threading.Barrier(2, timeout=10)

    def runner(number, environment, stop):
        both.wait()
        if number == 1:
            raise StageFailed("Stage training", ["Interrupted"], stopped=True)
        told.append(stop.wait(10))

    with pytest.raises(KeyboardInterrupt):
        run_folds([1, 2], [0, 1], runner, progress=False)
    assert told == [True]


def test_errors_of_the_program_are_not_swallowed():
    def runner(number, environment, stop):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_folds([1, 2], [], runner, progress=False)


def test_problems_of_input_count_as_a_failed_fold():
    def runner(number, environment, stop):
        raise InputProblems("Folds", ["fold.json is broken"])

    assert "fold.json is broken" in run_folds([1], [], runner, progress=False)[1]
