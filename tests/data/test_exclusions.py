"""Whoever is on a list of exclusions is excluded, however the list is written, or the list is refused."""

import numpy as np
import pytest

from bundle.data.exclusions import looks_otherwise, read_exclusions
from bundle.data.problems import InputProblems

COHORTS = {
    "bids": [f"sub-{number:03d}" for number in range(1, 61)],
    "numbers": [str(100_300 + 7 * number) for number in range(60)],
    "small numbers": [str(number) for number in range(1, 61)],
    "words": [f"NDAR_INV{number:04d}AB" for number in range(60)],
}
FORMS = {
    "plain": lambda ids: ids,
    "with a reason": lambda ids: [f"{name} moved, a lot" for name in ids],
    "with a reason at a tab": lambda ids: [f"{name}\tmoved; a lot" for name in ids],
    "with a reason at a comma": lambda ids: [f"{name},withdrew consent" for name in ids],
    "with semicolons": lambda ids: [f"{name};moved" for name in ids],
    "with a semicolon at the end": lambda ids: [f"{name};" for name in ids],
    "quoted": lambda ids: [f'"{name}"' for name in ids],
    "in single quotes": lambda ids: [f"'{name}'" for name in ids],
    "quoted with a header": lambda ids: ['"participant_id"', *(f'"{name}"' for name in ids)],
    "with a header": lambda ids: ["eid,reason", *(f"{name},withdrawn" for name in ids)],
    "with a header at tabs": lambda ids: ["participant_id\treason", *(f"{name}\tmoved" for name in ids)],
    "as write.table": lambda ids: ['"x"', *(f'"{row}" "{name}"' for row, name in enumerate(ids, 1))],
    "as write.csv": lambda ids: ['"","x"', *(f'"{row}","{name}"' for row, name in enumerate(ids, 1))],
    "with a BOM and blanks": lambda ids: ["\ufeff" + ids[0] + "  ", *(f"  {name} \t" for name in ids[1:])],
    "with comments": lambda ids: ["# who withdrew", "", *(f"{name}  # by letter" for name in ids)],
    "at the end of lines of Windows": lambda ids: [f"{name}\r" for name in ids],
    "in capitals": lambda ids: [name.upper() for name in ids],
    "reason first": lambda ids: [f"withdrew,{name}" for name in ids],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cohort", COHORTS)
def test_everybody_on_the_list_is_excluded_and_nobody_else(tmp_path, cohort, form):
    names = COHORTS[cohort]
    rng = np.random.default_rng([len(form), len(cohort)])
    wanted = sorted(rng.choice(names[20:], 7, replace=False).tolist(), key=lambda _: rng.random())
    (tmp_path / "list.txt").write_text("\n".join(FORMS[form](wanted)) + "\n", newline="")
    found = read_exclusions(tmp_path / "list.txt", names)
    assert set(found) == set(wanted)
    if "reason" in form and form != "reason first":
        assert all(reason for reason in found.values()) and "named in" not in found[wanted[0]]


@pytest.mark.parametrize("cohort", ["bids", "numbers", "small numbers"])
def test_ids_as_floats_are_the_same_people(tmp_path, cohort):
    names = COHORTS[cohort]
    numbers = [float(name.removeprefix("sub-")) for name in names[3:9]]
    (tmp_path / "list.csv").write_text("id\n" + "\n".join(map(str, numbers)))
    assert set(read_exclusions(tmp_path / "list.csv", names)) == set(names[3:9])


def test_numbers_of_rows_that_are_ids_of_others_are_asked_about(tmp_path):
    (tmp_path / "list.csv").write_text("1,25\n2,30\n3,47\n")
    with pytest.raises(InputProblems, match="columns 1 and 2 both hold ids"):
        read_exclusions(tmp_path / "list.csv", COHORTS["small numbers"])


def test_ids_of_nobody_stay_to_be_told(tmp_path):
    (tmp_path / "list.txt").write_text("sub-003\nsub-999\n777\n")
    assert list(read_exclusions(tmp_path / "list.txt", COHORTS["bids"], "sub-")) == ["sub-003", "sub-999", "sub-777"]


@pytest.mark.parametrize("content", [b"sub-001\nsub-1\n", b"\xff\xfes\0", b"caf\xe9\n", b"sub-001\0\n", b"n/a\n"])
def test_lists_that_cannot_be_read_are_refused(tmp_path, content):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(InputProblems):
        read_exclusions(tmp_path / "list.txt", COHORTS["bids"])


def test_no_list_and_no_file(tmp_path):
    assert read_exclusions(None, ["a"]) == {}
    for name in ("nowhere.txt", "x" * 300):
        with pytest.raises(InputProblems, match="--exclude takes"):
            read_exclusions(tmp_path / name, ["a"])


def test_a_list_of_other_people_of_the_same_kind_is_told_from_one_of_another_kind():
    assert not looks_otherwise(["1234567"], ["7654321", "1111111"])  # withdrawn, and not in this subset
    assert looks_otherwise(["P001"], ["sub-01", "sub-02"])
