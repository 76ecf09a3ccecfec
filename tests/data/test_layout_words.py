"""What stands in a layout is matched as it is written, whatever YAML makes of it; names are text, patterns have a `*`."""

import numpy as np
import pandas as pd
import pytest
import yaml

from bundle.data.column_names import is_called
from bundle.data.layouts import read_layout
from bundle.data.people_findings import people_findings
from bundle.data.problems import InputProblems
from bundle.data.source_columns import participants_of, phenotypes_of
from bundle.data.source_families import families
from bundle.data.source_tables import read_source_tables

HEAD = "name: mine\nspace: A\nimages: {T1w: '{participant_id}/t1.nii.gz'}\ntables: [{file: people.tsv}]\n"
NAMES = ["s1", "s2", "s3", "s4"]
WORDS = [
    "NO",
    "yes",
    "on",
    "off",
    "True",
    "01",
    "2.50",
    "1e3",
    "12:30",
    "1_000",
    "0x1f",
    "~x",
    "007",
    "Y",
    "3",
    "4.0",
    "-1",
]


def people(folder, name="people.tsv", names=NAMES, **columns):
    table = pd.DataFrame({"participant_id": list(names), **columns})
    table.to_csv(folder / name, sep="\t" if name.endswith("tsv") else ",", index=False)


def layout_of(text):
    return read_layout(yaml.safe_load(HEAD + text))


def column(folder, layout, name):
    tables = read_source_tables(layout, folder)
    return participants_of(tables, layout, dict.fromkeys(NAMES, ""), 0, False)[name].tolist()


@pytest.mark.parametrize("word", WORDS)
def test_a_word_without_quotes_is_translated_wherever_it_stands_so(tmp_path, word):
    people(tmp_path, gender=[word, "other", word, "other"])
    layout = layout_of(f"participants: {{sex: {{columns: gender, values: {{{word}: F, other: M}}}}}}\n")
    assert column(tmp_path, layout, "sex") == ["F", "M", "F", "M"]


@pytest.mark.parametrize(("key", "written"), [("'1'", "1.0"), ("1", "01"), ("1.0", "1"), ("'01'", "1")])
def test_a_number_is_translated_however_the_table_writes_it(tmp_path, key, written):
    people(tmp_path, gender=[written, "2", written, "2"])
    layout = layout_of(f"participants: {{sex: {{columns: gender, values: {{{key}: M, 2: F}}}}}}\n")
    assert column(tmp_path, layout, "sex") == ["M", "F", "M", "F"]


@pytest.mark.parametrize("word", ["01", "2.50", "1e3", "007", "12:30"])
def test_a_column_may_be_called_like_a_number(tmp_path, word):
    people(tmp_path, **{word: ["a", "b", "a", "b"]})
    assert column(tmp_path, layout_of(f"participants: {{site: {word}}}\n"), "site") == ["a", "b", "a", "b"]


@pytest.mark.parametrize("word", ["NO", "yes", "on", "off", "2020-01-01", "~"])
@pytest.mark.parametrize("place", ["participants: {{site: {}}}", "participants: {{sex: {{columns: g, values: {{a: {}}}}}}}", "restricted: [{}]", "phenotypes: [a, {}]"])  # fmt: skip
def test_what_yaml_changed_beyond_telling_is_said(word, place):
    if place.startswith("participants: {{site") and word == "~":
        return  # a name that is left empty
    with pytest.raises(InputProblems, match="put quotes around it"):
        layout_of(place.format(word) + "\n")


@pytest.mark.parametrize("entry", ["restricted: 'no'", "restricted: 1", "required: 'yes'"])
def test_switches_are_no_words(entry):
    with pytest.raises(InputProblems, match="expected true or false"):
        read_layout(yaml.safe_load(HEAD.replace("people.tsv", f"people.tsv, {entry}")))


BRACKETS = [
    "income[USD]",
    "income [USD]",
    "a?b",
    "score[0-9]",
    "[x]",
    "p(1)",
    "a.b",
    "a+b",
    "x^2",
    "Größe",
    "a b",
    "{x}",
]


@pytest.mark.parametrize("name", BRACKETS)
def test_a_restricted_column_of_any_name_is_withheld(tmp_path, name):
    people(tmp_path, **{name: [1, 2, 3, 4], "free": [4, 3, 2, 1]})
    for entry in ("restricted", "restricted_if_there"):
        layout = layout_of(yaml.safe_dump({entry: [name]}))
        tables = read_source_tables(layout, tmp_path)
        assert tables.restricted == {name}
        assert list(phenotypes_of(tables, layout, NAMES, None, False)[0]) == ["free"]


@pytest.mark.parametrize("name", BRACKETS)
def test_a_family_column_of_any_name_is_read(tmp_path, name):
    people(tmp_path, **{name: ["x", "x", "y", "y"]})
    layout = layout_of(yaml.safe_dump({"participants": {"family_id": name}}))
    assert families(read_source_tables(layout, tmp_path), layout, NAMES, 0).tolist() == ["x", "x", "y", "y"]


@pytest.mark.parametrize(("pattern", "column", "is_so"), [
    ("inc*", "income[USD]", True), ("inc*", "xinc", False), ("*[USD]", "income[USD]", True), ("score[0-9]", "score5", False),
    ("a?b", "axb", False), ("*", "anything", True), ("a*b*c", "a1b2c", True), ("Income", "income", False),
])  # fmt: skip
def test_only_a_star_makes_a_pattern(pattern, column, is_so):
    assert is_called(column, pattern) == is_so


@pytest.mark.parametrize(("entry", "meant"), [("restricted", "incom[USD]"), ("restricted", "INCOME[usd]"), ("restricted_if_there", "Income[usd]"), ("restricted_if_there", "income_USD"), ("restricted", "nothing")])  # fmt: skip
def test_a_restricted_column_in_another_spelling_is_an_error(tmp_path, entry, meant):
    people(tmp_path, **{"income[USD]": [1, 2, 3, 4]})
    with pytest.raises(InputProblems, match="restricted"):
        read_source_tables(layout_of(yaml.safe_dump({entry: [meant]})), tmp_path)


RELATIVES = {
    "mother_id": ["m1", "m1", "m2", "m3"],
    "Mother_ID": ["m1", "m1", "0", "0"],
    "FatherID": ["f1", "f1", "-9", "-9"],
    "twin_id": ["s2", "s1", "n/a", "n/a"],
    "Twin_Of": ["n/a", "S1", "none", "none"],
    "sibling-of": ["2.0", "n/a", "n/a", "n/a"],
    "rel_family_id": ["7", "7", "8", "9"],
    "paternal id": ["001", "1", "2", "3"],
}


def relatives_layout(names=NAMES):
    return layout_of("participants: {family_id: family}\n")


@pytest.mark.parametrize("name", RELATIVES)
def test_relatives_by_any_column_are_one_family_and_their_ids_no_items(tmp_path, name):
    names = ["1", "2", "3", "4"] if "2.0" in RELATIVES[name] else NAMES
    people(tmp_path, names=names, family=["F1", "F2", "F3", "F4"], score=[1, 2, 3, 4], **{name: RELATIVES[name]})
    layout = relatives_layout()
    tables = read_source_tables(layout, tmp_path)
    own = families(tables, layout, names, 0)
    assert own.iloc[0] == own.iloc[1] and own.nunique() == 3
    assert list(phenotypes_of(tables, layout, names, None, True)[0]) == ["score"]
    assert people_findings([{"participant_id": one} for one in names], tables, layout) == []


def test_relatives_are_joined_through_somebody_who_has_no_image(tmp_path):
    people(tmp_path, family=["F1", "F2", "F3", "F2"], mother_id=["s4", "n/a", "n/a", "n/a"])
    layout = relatives_layout()
    own = families(read_source_tables(layout, tmp_path), layout, NAMES[:3], 0)
    assert own.iloc[0] == own.iloc[1] != own.iloc[2]


@pytest.mark.parametrize("word", ["none", "0", "-9", "999", "unrelated", ".", "NULL"])
def test_no_family_by_a_layout_is_no_family(tmp_path, word):
    people(tmp_path, family=["F1", "F1", word, word])
    own = families(read_source_tables(relatives_layout(), tmp_path), relatives_layout(), NAMES, 0)
    assert own.isna().tolist() == [False, False, True, True]


def test_families_and_values_that_cannot_be_are_findings(tmp_path):
    names = [f"s{number}" for number in range(40)]
    sizes = ["n/a"] * 40
    people(tmp_path, names=names, family=["big"] * 13 + names[13:], age=["30"] * 39 + ["inf"], size=sizes)
    layout = layout_of("participants: {family_id: family, age_years: age, family_size: size}\n")
    items = [{"participant_id": name} for name in names]
    told = [finding.sentence for finding in people_findings(items, read_source_tables(layout, tmp_path), layout)]
    assert len(told) == 2 and "has 13 of 40 participants" in told[0] and "age_years" in told[1]
    people(tmp_path, names=names, family=["big"] * 13 + names[13:], age=["30"] * 40, size=["13"] * 40)
    assert people_findings(items, read_source_tables(layout, tmp_path), layout) == []


@pytest.mark.parametrize("seed", range(10))
def test_no_item_vanishes_by_a_few_words_and_every_lost_cell_is_counted(tmp_path, seed):
    rng = np.random.default_rng(seed)
    names = [f"s{number}" for number in range(30)]
    cells = rng.normal(size=(30, 4)).round(2).astype(str).astype(object)
    unread = rng.random((30, 4)) < 0.1
    cells[unread] = rng.choice(["high", ">100", "3,5", "inf", "1e300"], unread.sum())
    missing = ~unread & (rng.random((30, 4)) < 0.1)
    cells[missing] = rng.choice([".", "#NULL!", "NULL", "unknown", "none"], missing.sum())
    columns = {f"item{number}": cells[:, number] for number in range(4)}
    people(tmp_path, names=names, diagnosis=["a", "b"] * 15, **columns)
    layout = layout_of("")
    tables = read_source_tables(layout, tmp_path)
    items, notes = phenotypes_of(tables, layout, names, None, False)
    assert list(items) == list(columns)
    np.testing.assert_array_equal(items.isna(), unread | missing)
    assert "1 columns hold mostly words and are no phenotype items: diagnosis." in notes
    lost = sum(int(note.split(": ")[1].split(" cells")[0]) for note in notes if " cells are missing" in note)
    in_words = (tables.decoded[0].split(": ")[1].split(" cells")[0]) if tables.decoded else 0
    assert lost + int(in_words) == (unread | missing).sum()


@pytest.mark.parametrize("writing", ["{}.0", "{:03d}", "sub-{}", "SUB-{:02d}", "{}"])
def test_tables_that_write_ids_otherwise_are_joined_to_the_files(tmp_path, writing):
    on_disk = [f"sub-{number:03d}" for number in range(1, 6)]
    people(tmp_path, names=[writing.format(number) for number in range(1, 6)], score=[1, 2, 3, 4, 5])
    layout = layout_of("")
    assert read_source_tables(layout, tmp_path, on_disk).values.loc[on_disk, "score"].tolist() == list("12345")


def test_a_table_of_other_people_is_refused_and_one_of_some_is_not(tmp_path):
    on_disk = [f"sub-{number:03d}" for number in range(1, 41)]
    people(tmp_path, names=on_disk, age=range(40))
    people(tmp_path, "clinic.csv", names=on_disk[:4], score=range(4))
    with_clinic = read_layout(
        yaml.safe_load(HEAD.replace("{file: people.tsv}", "{file: people.tsv}, {file: clinic.csv}"))
    )
    assert read_source_tables(with_clinic, tmp_path, on_disk).values["score"].notna().sum() == 4
    people(tmp_path, "clinic.csv", names=[f"P{number}" for number in range(40)], score=range(40))
    with pytest.raises(InputProblems, match=r"None of the 40 participants of clinic.csv \(such as P0, P1\).*sub-001"):
        read_source_tables(with_clinic, tmp_path, on_disk)
    assert len(read_source_tables(layout_of(""), tmp_path, on_disk).values) == 40
