"""Ids and levels are compared in one form, whatever program wrote them."""

import numpy as np
import pandas as pd
import pytest

from bundle.data.fold_table import read_fold_table
from bundle.data.id_forms import id_form, in_words_of, joined_twice, level_form, too_few_shared
from bundle.data.items import read_items
from bundle.data.people import people_table
from bundle.data.problems import InputProblems

WRITINGS = {
    "as a float": lambda number: f"{number}.0",
    "as a number": lambda number: f"{number}",
    "with zeros": lambda number: f"{number:04d}",
    "with a prefix": lambda number: f"sub-{number:03d}",
    "with a short prefix": lambda number: f"sub-{number}",
    "with an underscore": lambda number: f"sub_{number:02d}",
    "in capitals": lambda number: f"SUB-{number:03d}",
    "in quotes": lambda number: f'"{number}"',
    "with blanks": lambda number: f" sub-{number:03d} ",
    "as subjects": lambda number: f"Subject{number:03d}",
}
NUMBERS = [1, 2, 10, 11, 20, 100, 101, 110, 999, 1000]


@pytest.mark.parametrize("theirs", WRITINGS)
@pytest.mark.parametrize("ours", WRITINGS)
def test_every_writing_of_an_id_is_the_same_person_and_no_other(ours, theirs):
    known = [WRITINGS[ours](number) for number in NUMBERS]
    names = [WRITINGS[theirs](number) for number in NUMBERS]
    assert in_words_of(names, known) == dict(zip(names, known, strict=True))


@pytest.mark.parametrize(
    "group",
    [
        ["NDAR_INV1A", "sub-NDARINV1A", "ndarinv1a"],
        ["P001", "p1", "P01"],
        ["CC110033", "sub-CC110033"],
        ["A-1", "a-01"],
    ],
)
def test_ids_with_letters_have_one_form_too(group):
    assert len({id_form(name) for name in group}) == 1


@pytest.mark.parametrize("pair", [("1-2", "12"), ("10", "1"), ("1.5", "15"), ("sub-1a", "sub-1"), ("100", "1000"), ("P1", "1")])  # fmt: skip
def test_other_people_stay_others(pair):
    assert id_form(pair[0]) != id_form(pair[1])


def test_an_id_that_may_be_either_of_two_is_neither():
    assert in_words_of(["001", "1"], ["1", "01"]) == {"1": "1"}
    (problem,) = joined_twice(in_words_of(["1", "001"], ["sub-1"]))
    assert "001 and 1 are both sub-1" in problem


@pytest.mark.parametrize(("names", "known", "is_refused"), [
    (["a", "b"], ["c", "d"], True), (["a"], ["a", "b", "c"], False), (["a", "b", "c"], ["a"], False),
    (["a", "x", "y", "z"], ["a", "b", "c", "d"], True), ([], ["a"], False), (["1.0", "2.0"], ["sub-01", "sub-02"], False),
])  # fmt: skip
def test_lists_that_share_next_to_nobody_are_refused_with_both_writings(names, known, is_refused):
    said = too_few_shared(names, known, "participants of scores.csv", "participants with images")
    assert bool(said) == is_refused
    if said:
        assert names[0] in said and known[0] in said


LEVELS = [("1", "1.0"), ("0", "0.0"), ("01", "1"), ("2.50", "2.5"), ("-1", "-1.0"), ("1e1", "10")]


@pytest.mark.parametrize(("one", "other"), LEVELS)
def test_levels_that_are_one_number_are_one_level(one, other):
    assert level_form(one) == level_form(other)


@pytest.mark.parametrize("word", ["A", "site 1", "1a", "", "nan", "1.2.3", "12345678901234567890", "infinity"])
def test_other_levels_stay_as_they_are(word):
    assert level_form(word) == word


def people(folder, names, **columns):
    table = pd.DataFrame({"participant_id": names, **columns})
    table.to_csv(folder / "people.tsv", sep="\t", index=False)
    return str(folder / "people.tsv")


@pytest.mark.parametrize("theirs", WRITINGS)
def test_covariates_are_those_of_the_person_however_the_table_writes_the_id(tmp_path, theirs):
    names = [WRITINGS["with a prefix"](number) for number in NUMBERS]
    order = np.random.default_rng(0).permutation(len(NUMBERS))
    theirs = [WRITINGS[theirs](NUMBERS[row]).strip().strip('"').replace(" ", "") for row in order]
    table = people_table(names, str(tmp_path), people(tmp_path, theirs, score=np.array(NUMBERS)[order]), [])
    assert table.index.tolist() == names and table["score"].tolist() == NUMBERS


def test_sites_and_sexes_written_as_floats_are_the_same_ones(tmp_path):
    file = people(tmp_path, ["a", "b", "c"], site=["1", "1.0", "2"], sex=["0", "0.0", "1.0"])
    table = people_table(["a", "b", "c"], str(tmp_path), file, ["site", "sex"])
    assert table["site"].tolist() == ["1", "1", "2"] and table["sex"].tolist() == ["0", "0", "1"]


@pytest.mark.parametrize("theirs", WRITINGS)
def test_phenotypes_are_those_of_the_person(tmp_path, theirs):
    table = pd.DataFrame({"id": [WRITINGS[theirs](number) for number in NUMBERS], "score": NUMBERS})
    table.to_csv(tmp_path / "items.csv", index=False)
    names = [WRITINGS["with a prefix"](number) for number in NUMBERS]
    items = read_items(tmp_path / "items.csv", None, "id").with_ids_of(names)
    assert items.values.loc[names, "score"].tolist() == NUMBERS


def test_one_person_in_two_writings_is_refused(tmp_path):
    pd.DataFrame({"id": ["1", "sub-01"], "score": [1, 2]}).to_csv(tmp_path / "items.csv", index=False)
    with pytest.raises(InputProblems, match="are both sub-1"):
        read_items(tmp_path / "items.csv", None, "id").with_ids_of(["sub-1"])


@pytest.mark.parametrize("theirs", WRITINGS)
def test_folds_are_those_of_the_person(tmp_path, theirs):
    items = [{"participant_id": f"sub-{number:03d}", "family_id": f"f{number}"} for number in NUMBERS]
    folds = [1 + row % 2 for row in range(len(NUMBERS))]
    pd.DataFrame({"participant_id": [WRITINGS[theirs](number) for number in NUMBERS], "fold": folds}).to_csv(
        tmp_path / "folds.tsv", sep="\t", index=False, quoting=3, quotechar="'"
    )
    table, problems = read_fold_table(tmp_path / "folds.tsv", items)
    assert problems == [] and table["fold"].tolist() == folds
