import json

import pytest

from bundle.data.datalist import items_from_datalist
from bundle.data.family_split import split_by_family
from bundle.data.json_files import read_json
from bundle.data.problems import InputProblems
from bundle.data.synthetic import CohortSettings

BROKEN = [
    b"",
    b"[]",
    b"5",
    b'"words"',
    b"null",
    b"{",
    b"[" * 100_000,
    b'{"a": ' * 50_000,
    b'{"a": "M\xfcller"}',
    b"\xff\xfe{\0}\0",
    b"\0",
]


@pytest.mark.parametrize("content", BROKEN)
def test_facts_that_are_broken_are_a_problem_of_input(tmp_path, content):
    (tmp_path / "facts.json").write_bytes(content)
    with pytest.raises(InputProblems, match=r"facts\.json"):
        read_json(tmp_path / "facts.json")
    with pytest.raises(InputProblems, match=r"facts\.json"):
        items_from_datalist(tmp_path / "facts.json", ["T1w"])


PERSON = {"participant_id": "a", "T1w": "a.nii.gz"}


@pytest.mark.parametrize("people", [5, "words", True, {"a": PERSON}, [[PERSON]], [5], [None], [{}], [PERSON | {"participant_id": "x" * 300}],
    [PERSON | {"participant_id": "a\0b"}], [PERSON | {"T1w": "x" * 5000}], [PERSON | {"T1w": "a/" * 3000}], [PERSON | {"T1w": 5}],
    [PERSON | {"T1w": "a\0b"}], [PERSON, PERSON], [PERSON | {"participant_id": ["a"]}], [PERSON | {"participant_id": "a b"}]])  # fmt: skip
def test_sections_that_hold_no_people_are_a_problem_of_input(tmp_path, people):
    (tmp_path / "a.nii.gz").write_bytes(b"")
    (tmp_path / "list.json").write_text(json.dumps({"training": people}))
    with pytest.raises(InputProblems):
        items_from_datalist(tmp_path / "list.json", ["T1w"])


RELATIVES = [
    ("mother_id", "m", "m"),
    ("Father_ID", 7, 7.0),
    ("twin_id", "b", None),
    ("TwinOf", None, "a"),
    ("rel_family_id", "1", "01"),
]


@pytest.mark.parametrize(("key", "first", "second"), RELATIVES)
def test_relatives_that_a_datalist_names_are_looked_at(tmp_path, key, first, second):
    (tmp_path / "a.nii.gz").write_bytes(b"")
    entries = [
        PERSON | {"family_id": "F1", key: first},
        PERSON | {"participant_id": "b", "family_id": "F2", key: second},
    ]
    (tmp_path / "list.json").write_text(json.dumps({"training": entries[:1], "test": entries[1:]}))
    with pytest.raises(
        InputProblems, match=f"a .family F1. and b .family F2. are relatives by {key}|b .family F2. and a"
    ):
        items_from_datalist(tmp_path / "list.json", ["T1w"])
    (tmp_path / "list.json").write_text(json.dumps({"training": [entry | {"family_id": "F1"} for entry in entries]}))
    assert len(items_from_datalist(tmp_path / "list.json", ["T1w"])["training"]) == 2


def test_an_implausible_family_of_a_datalist_is_confirmed_in_it(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"")
    entries = [PERSON | {"participant_id": f"p{number}", "family_id": "big"} for number in range(13)]
    (tmp_path / "list.json").write_text(json.dumps({"training": entries}))
    with pytest.raises(InputProblems, match="family_size 13"):
        items_from_datalist(tmp_path / "list.json", ["T1w"])
    (tmp_path / "list.json").write_text(json.dumps({"training": [entry | {"family_size": 13} for entry in entries]}))
    assert len(items_from_datalist(tmp_path / "list.json", ["T1w"])["training"]) == 13


@pytest.mark.parametrize("shares", [(-0.1, 0.2), (0.2, 1.0), (float("nan"), 0.2), (0.6, 0.5), (0.2, float("inf"))])
def test_shares_that_cannot_be_are_refused(shares):
    with pytest.raises(InputProblems):
        split_by_family([{"participant_id": str(n), "family_id": str(n)} for n in range(20)], *shares, 0)


@pytest.mark.parametrize("settings", [{"n_strata": 0}, {"n_strata": 8}, {"n_subjects": 0}, {"seed": -1}, {"spacing_mm": 0}, {"spacing_mm": float("nan")}])  # fmt: skip
def test_a_synthetic_cohort_that_cannot_be_is_refused(settings):
    with pytest.raises(InputProblems, match=next(iter(settings))):
        CohortSettings(**settings)
