import pytest

from bundle.data.problems import InputProblems
from bundle.study.plan import plan_runs
from bundle.study.settings import read_study

STUDY = {
    "name": "small",
    "question": "Which?",
    "options": {"spatial_size": [32, 32, 24]},
    "arguments": {"width": 8, "n_units": 1},
    "runs": [{"name": "one"}, {"name": "two", "options": {"loss": "l1"}}],
}


def planned(study, grid=None):
    grid = grid or {}
    settings, runs = read_study(study, grid)
    return plan_runs(settings, runs, grid.get("arguments", {}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runs": []}, "at least one"),
        ({"runs": None}, "at least one"),
        ({"runs": ["one"]}, "expected {name"),
        ({"runs": [{"name": "one"}, {"name": "one"}]}, "2 runs have this name"),
        ({"runs": [{"option": {}}]}, "did you mean options"),
        ({"runs": [{"options": {}}]}, "has no name"),
        ({"runs": [{"name": "a b"}]}, "cannot name a folder"),
        ({"runs": [{"name": "one", "options": [1]}]}, "expected a mapping for options"),
        ({"runs": [{"name": "late", "same_as": "one", "time_of": "one"}]}, "no run before it"),
        ({"runs": [{"name": "one"}, {"name": "late", "time_of": "one"}]}, "time_of needs same_as"),
        ({"runs": [{"name": "one"}, {"name": "late", "same_as": "one", "options": {}}]}, "leave the rest out"),
        ({"qestion": "?"}, "did you mean question"),
        ({"question": None}, "has no question"),
        ({"name": "../up"}, "cannot name a folder"),
    ],
)
def test_what_is_wrong_with_a_study_is_said(changes, message):
    with pytest.raises(InputProblems, match=message):
        read_study(STUDY | changes, {})


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(InputProblems) as caught:
        read_study({"nme": "x", "runs": [{"name": "one"}, {"name": "one", "optins": {}}]}, {"cohrt": {}})
    assert len(caught.value.problems) >= 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": {"max_epoch": 3}}, "did you mean max_epochs"),
        ({"options": {"seed": 3}}, "a study sets it itself"),
        ({"runs": [{"name": "one", "options": {"modalities": ["T1"]}}]}, "Run one: modalities: unknown T1: did you mean T1w"),
        ({"options": {"modalities": "T1w"}}, "expected a list"),
        ({"arguments": {"kernel": [3, 3, 3]}}, "did you mean network_def::kernel_size"),
        ({"arguments": STUDY["arguments"] | {"norm": "layer"}}, "cannot be built: .*norm"),
        ({"options": {"spatial_size": [30, 32, 24]}}, "cannot be built: .*divisible"),
        ({"network": "configs/parts/nowhere.yaml"}, "there is no configs/parts/nowhere.yaml"),
        ({"cohort": {"n_subject": 3}}, "cohort: unknown n_subject: did you mean n_subjects"),
        ({"clustering": {"n_reference": 3}}, "clustering: Unknown n_reference: did you mean n_references"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_run_is_said(changes, message):
    import re

    _, problems = planned(STUDY | changes)
    assert any(re.search(message, problem) for problem in problems), problems


def test_a_run_goes_before_its_study_and_that_before_the_grid():
    grid = {
        "options": {"max_epochs": 1, "batch_size": 2, "loss": "mse"},
        "arguments": {"configs/parts/network.yaml": {"width": 16, "norm": "batch"}},
        "cohort": {"n_subjects": 5, "seed": 1},
    }
    study = STUDY | {"options": {"batch_size": 3}, "arguments": {"norm": "instance"}, "cohort": {"seed": 2}}
    runs, problems = planned(study, grid)
    assert problems == []
    assert runs[1].options == {"max_epochs": 1, "batch_size": 3, "loss": "l1"}
    assert runs[1].network["norm"] == "instance" and runs[1].network["width"] == 16
    assert read_study(study, grid)[0].cohort == {"n_subjects": 5, "seed": 2}


def test_a_run_under_equal_time_is_what_it_repeats():
    runs, _ = planned(STUDY | {"runs": [*STUDY["runs"], {"name": "late", "same_as": "two", "time_of": "one"}]})
    assert runs[2].options == runs[1].options and runs[2].time_of == "one"
