import sys

import pytest

from bundle.data.problems import InputProblems
from bundle.mapping.brain import choose_method
from bundle.mapping.optional import needed


def test_a_library_that_is_missing_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    monkeypatch.setitem(sys.modules, "deepbet", None)
    with pytest.raises(InputProblems, match=r"SimpleITK cannot be imported.*\.\[prepare\]"):
        needed("SimpleITK")
    with pytest.raises(InputProblems, match="--no-deps deepbet"):
        needed("deepbet")


def test_auto_takes_a_mask_that_is_there():
    assert choose_method("auto", is_given=True) == "given"
    assert choose_method("template", is_given=True) == "template"
