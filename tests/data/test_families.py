"""Words that mean no family make no participant relatives; families that are too large are asked about."""

import numpy as np
import pandas as pd
import pytest

from bundle.data.families import FAMILY_SIZE, alone, family_problems, known_families
from bundle.data.participants import read_participants
from bundle.data.problems import InputProblems

WORDS = [
    "None", "NONE", "NULL", "0", "0.0", "00", ".", "-9", "-9.0", "-1", "-99", "-999", "999", "9999", "99", "888", "unrelated",
    "Unrelated", "n/a", "nan", "-", "#N/A", "N.A.", "single", "singleton", "no", "No family", "no-family", "not related",
    "unknown", "Missing", "?", '"none"', " none ",
]  # fmt: skip


def cohort(folder, **columns):
    n_people = len(next(iter(columns.values())))
    table = pd.DataFrame({"participant_id": [f"sub-{number:03d}" for number in range(n_people)], **columns})
    table.to_csv(folder / "participants.tsv", sep="\t", index=False)
    return folder


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("others", [["F1", "F2"], ["1", "2"], ["fam-0001", "fam-0002"]])
def test_a_word_for_none_is_a_family_of_ones_own(tmp_path, word, others):
    labels = [*others, *others, *[word] * 6]
    table = read_participants(cohort(tmp_path, family_id=labels))
    own = [alone(name) for name in table["participant_id"][4:]]
    assert table["family_id"][4:].tolist() == own and table["family_id"][:4].nunique() == 2


@pytest.mark.parametrize("word", ["1", "7", "99", "999", "F0", "NA1", "noah", "10", "nine"])
def test_a_family_may_be_called_like_one_of_many(word):
    labels = pd.Series([word, word, *map(str, range(990, 1010))])
    assert known_families(labels)[:2].tolist() == [word, word]


def test_a_code_is_said_where_it_joined_people(caplog):
    known_families(pd.Series(["999", "999", "F1"]), "participants.tsv")
    assert "999 of 2 participants is taken for no family" in caplog.text


@pytest.mark.parametrize("writings", [("1", "1.0"), ("1", "01"), ("001", "1.00"), ("F1", '"F1"')])
def test_one_family_in_two_writings_is_one(writings):
    assert known_families(pd.Series([*writings, "2"])).nunique() == 2


@pytest.mark.parametrize(("size", "n_people", "is_asked"), [(12, 400, False), (13, 400, True), (10, 90, True), (10, 120, False), (9, 20, False)])  # fmt: skip
def test_an_implausible_family_is_asked_about_until_it_is_confirmed(tmp_path, size, n_people, is_asked):
    labels = ["house 1"] * size + [f"f{number}" for number in range(n_people - size)]
    if not is_asked:
        assert (read_participants(cohort(tmp_path, family_id=labels))["family_id"] == "house 1").sum() == size
        return
    with pytest.raises(InputProblems, match=rf"house 1 has {size} of {n_people} participants.*{FAMILY_SIZE} {size}"):
        read_participants(cohort(tmp_path, family_id=labels))
    sizes = [str(size)] * size + ["1"] * (n_people - size)
    assert len(read_participants(cohort(tmp_path, family_id=labels, family_size=sizes))) == n_people
    with pytest.raises(InputProblems):
        read_participants(cohort(tmp_path, family_id=labels, family_size=[str(size - 1)] * n_people))


def test_families_that_differ_in_case_alone_are_asked_about():
    (problem,) = family_problems({"a": "F1", "b": "f1", "c": "F2"})
    assert "F1 and f1" in problem


@pytest.mark.parametrize("seed", range(5))
def test_families_of_a_cohort_without_such_words_stay_as_they_are(tmp_path, seed):
    labels = np.random.default_rng(seed).integers(1, 200, 300).astype(str).tolist()
    table = read_participants(cohort(tmp_path, family_id=labels))
    assert table["family_id"].tolist() == labels
