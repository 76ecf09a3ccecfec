import pytest

from bundle.data.problems import InputProblems
from bundle.running.process import show_error
from custom_nets import PaperFusionAutoencoder


def test_problems_of_input_are_shown_without_a_traceback(capsys):
    try:
        try:
            raise InputProblems("Files", ["sub-1: no T1w."])
        except InputProblems as error:
            raise RuntimeError("Failed to instantiate component") from error
    except RuntimeError as error:
        show_error(type(error), error, error.__traceback__)
    shown = capsys.readouterr().err
    assert shown.strip() == "Files: 1 to fix.\n  - sub-1: no T1w."


def test_the_cause_of_other_errors_comes_last(capsys):
    try:
        try:
            raise OSError("disk full")
        except OSError as error:
            raise RuntimeError("Failed to instantiate component") from error
    except RuntimeError as error:
        show_error(type(error), error, error.__traceback__)
    assert capsys.readouterr().err.strip().endswith("Cause: OSError: disk full")


def test_what_a_network_says_of_its_settings_is_shown_without_a_traceback(capsys):
    with pytest.raises(ValueError) as caught:
        PaperFusionAutoencoder(["T1w"], [64, 64, 48], widths=[2, 4, 8, 16, 32])
    wrapped = RuntimeError("Failed to instantiate component")
    wrapped.__cause__ = caught.value
    show_error(RuntimeError, wrapped, None)
    shown = capsys.readouterr().err
    assert "divisible by 32, got [64, 64, 48]: set spatial_size" in shown
    assert "Traceback" not in shown
