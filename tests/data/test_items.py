"""A word in a cell of an item is missing, or refused by name: no item vanishes."""

import pandas as pd
import pytest

from bundle.data.items import read_items
from bundle.data.problems import InputProblems

MISSING = [
    ".", "#NULL!", "Prefer not to answer", "n/a", "NaN", "NULL", "none", "unknown", "missing", "-", "N/A", "Do not know", "refused",
    "not applicable", "NA", "?", "#DIV/0!", "Not done", "<NA>", "",
]  # fmt: skip


def table(folder, **columns):
    n_people = len(next(iter(columns.values())))
    pd.DataFrame({"participant_id": [f"s{row}" for row in range(n_people)], **columns}).to_csv(
        folder / "items.csv", index=False
    )
    return folder / "items.csv"


@pytest.mark.parametrize("word", MISSING)
def test_a_word_for_a_missing_value_costs_one_cell(tmp_path, word, caplog):
    with caplog.at_level("INFO"):
        items = read_items(table(tmp_path, score=["1", word, "3"], other=["4", "5", "6"]), None, "participant_id")
    assert items.values["score"].isna().tolist() == [False, True, False] and items.values["other"].notna().all()
    if word not in ("n/a", "NaN", "NA", "N/A", ""):
        assert "items.csv" in caplog.text and "missing" in caplog.text


@pytest.mark.parametrize("word", ["high", "12 kg", "3,5", ">100", "inf", "-inf", "1e308"])
def test_any_other_word_and_number_is_refused_with_item_and_person(tmp_path, word):
    with pytest.raises(InputProblems, match=r"score: .*s1"):
        read_items(table(tmp_path, score=["1", word, "3"]), None, "participant_id")


def test_an_item_of_words_is_named_as_such(tmp_path):
    with pytest.raises(InputProblems, match="diagnosis: most values are words"):
        read_items(table(tmp_path, diagnosis=["a", "none", "b", "1"]), None, "participant_id")


RELATIVES = ["mother_id", "Mother_ID", "father_id", "twin_id", "MotherID", "maternal_id", "Family_ID", "fid", "cotwin", "rel_family_id", "sibling.id"]  # fmt: skip


@pytest.mark.parametrize("name", RELATIVES)
def test_ids_of_relatives_are_no_items(tmp_path, name):
    file = table(tmp_path, score=["1", "2", "3"], **{name: ["7", "7", "8"]})
    assert list(read_items(file, None, "participant_id").values) == ["score"]
    with pytest.raises(InputProblems, match="id of relatives"):
        read_items(file, {"score": {}, name: {}}, "participant_id")


NAMES = ["NO", "yes", "on", "01", "2.50", "1e3", "~x", "2020-01-01", "null_item", "true", "0x1f", "12:30"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_a_dictionary_are_the_words_that_stand_there(tmp_path, name):
    file = table(tmp_path, **{name: ["1", "2", "3"]})
    (tmp_path / "items.yaml").write_text(f"{name}: {{label: NO, direction: -1, demographic: no}}\n")
    items = read_items(file, tmp_path / "items.yaml", "participant_id")
    assert items.values[name].tolist() == [-1, -2, -3] and items.labels == ["NO"]


BOMB = "\n".join(["a: &a0 [x, x, x]", *(f"b{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))])


@pytest.mark.parametrize(
    "content", [BOMB, "a: &a [*a]", "[" * 5000, "a: {label: x}\na: {label: y}", "- a\n- b", "", "a: [", "a: {direction: up}", "a: {demographic: perhaps}", "a: 5"],
)  # fmt: skip
def test_a_dictionary_that_is_none_is_refused_at_once(tmp_path, content):
    file = table(tmp_path, a=["1", "2", "3"])
    (tmp_path / "items.yaml").write_text(content)
    with pytest.raises(InputProblems):
        read_items(file, tmp_path / "items.yaml", "participant_id")
