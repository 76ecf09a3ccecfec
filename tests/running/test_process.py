from bundle.data.problems import InputProblems
from bundle.running.process import show_error


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
