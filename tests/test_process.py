import pytest

from bundle.data.problems import InputProblems
from bundle.process import check_options, show_error

COMMAND = ["run", "training", "--config_file", "configs/train.yaml"]


@pytest.mark.parametrize(
    "options",
    [
        ["--max_epochs", "1"],
        ["--max-epochs=1"],
        ["--synthetic::seed", "3"],
        ["--train#trainer#max_epochs", "2"],
        ["--meta_file", "x.json"],
        ["--resume", "true"],
        ["--resume=False"],
    ],
)
def test_known_options_pass(options):
    check_options([*COMMAND, *options])


def test_misspelt_options_are_named_with_the_nearest():
    with pytest.raises(InputProblems, match="Unknown option --max_epoch: did you mean --max_epochs"):
        check_options([*COMMAND, "--max_epoch", "1"])


@pytest.mark.parametrize("options", [["--resume", "false"], ["--amp=no"], ["--progress", "0"]])
def test_words_that_would_count_as_true_are_refused(options):
    with pytest.raises(InputProblems, match="with a capital"):
        check_options([*COMMAND, *options])


def test_the_other_way_to_give_the_config_is_checked_too():
    with pytest.raises(InputProblems, match="--max_epoch"):
        check_options(["run", "training", "--config_file=configs/train.yaml", "--max_epoch=1"])


def test_options_of_overlays_are_known():
    check_options(
        ["run", "training", "--config_file", "['configs/train.yaml', 'configs/evaluate.yaml']", "--section", "test"]
    )


def test_other_programs_are_left_alone():
    check_options(["-q", "--whatever"])
    check_options([])


def test_problems_of_input_are_shown_without_a_traceback(capsys):
    try:
        try:
            raise InputProblems("Files", ["sub-1: no T1w."])
        except InputProblems as error:
            raise RuntimeError("Failed to instantiate component") from error
    except RuntimeError as error:
        show_error(type(error), error, error.__traceback__)
    shown = capsys.readouterr().err
    assert shown.strip() == "Files: 1 to mend.\n  - sub-1: no T1w."


def test_the_cause_of_other_errors_comes_last(capsys):
    try:
        try:
            raise OSError("disk full")
        except OSError as error:
            raise RuntimeError("Failed to instantiate component") from error
    except RuntimeError as error:
        show_error(type(error), error, error.__traceback__)
    assert capsys.readouterr().err.strip().endswith("Cause: OSError: disk full")
