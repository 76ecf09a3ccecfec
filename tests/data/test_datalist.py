import json

import pytest

from bundle.data.datalist import items_from_datalist
from bundle.data.problems import InputProblems
from tests.conftest import PATTERNS

MODALITIES = ["T1w", "JAC"]


def datalist(tmp_path, tiny_cohort, sections):
    file = tmp_path / "datalist.json"
    content = {}
    for section, people in sections.items():
        content[section] = [
            {
                "participant_id": name,
                "family_id": family,
                **{m: str(tiny_cohort / PATTERNS[m].format(participant_id=name)) for m in MODALITIES},
            }
            for name, family in people
        ]
    file.write_text(json.dumps(content))
    return file


def test_monai_datalist_is_read_with_its_sections(tmp_path, tiny_cohort):
    file = datalist(tmp_path, tiny_cohort, {"training": [("sub-0001", "a")], "test": [("sub-0002", "b")]})
    sections = items_from_datalist(file, MODALITIES)
    assert [item["participant_id"] for item in sections["test"]] == ["sub-0002"]
    assert sections["validation"] == []


def test_family_in_two_sections_is_refused(tmp_path, tiny_cohort):
    file = datalist(tmp_path, tiny_cohort, {"training": [("sub-0001", "a")], "test": [("sub-0002", "a")]})
    with pytest.raises(InputProblems, match="Family a is in test and training"):
        items_from_datalist(file, MODALITIES)


def test_datalist_problems_come_in_one_list(tmp_path, tiny_cohort):
    file = datalist(tmp_path, tiny_cohort, {"training": [("sub-0001", "a"), ("sub-7777", "b")], "holdout": []})
    with pytest.raises(InputProblems) as caught:
        items_from_datalist(file, [*MODALITIES, "NDI"])
    text = str(caught.value)
    assert (
        "unknown section 'holdout'" in text
        and "sub-7777: T1w is not at" in text
        and f"sub-0001: no NDI in {file}: it has {', '.join(MODALITIES)}; leave NDI out of --modalities" in text
    )


def test_a_person_may_be_called_0(tmp_path, tiny_cohort):
    file = tmp_path / "datalist.json"
    entry = {"participant_id": 0, "T1w": str(tiny_cohort / PATTERNS["T1w"].format(participant_id="sub-0001"))}
    file.write_text(json.dumps({"training": [entry]}))
    assert items_from_datalist(file, ["T1w"])["training"][0]["participant_id"] == "0"


@pytest.mark.parametrize("missing", [None, float("nan"), "", "n/a", 0, "none", -9, 999])
def test_people_without_a_family_are_one_each(tmp_path, tiny_cohort, missing):
    file = datalist(tmp_path, tiny_cohort, {"training": [("sub-0001", missing)], "test": [("sub-0002", missing)]})
    sections = items_from_datalist(file, MODALITIES)
    assert sections["training"][0]["family_id"] == "family of sub-0001" != sections["test"][0]["family_id"]


def test_missing_family_and_other_keys_of_a_datalist_are_fine(tmp_path, tiny_cohort):
    file = datalist(tmp_path, tiny_cohort, {"training": [("sub-0001", None)], "test": [("sub-0002", None)]})
    content = json.loads(file.read_text()) | {"name": "mine", "numTraining": 1}
    file.write_text(json.dumps(content))
    sections = items_from_datalist(file, MODALITIES)
    assert sections["training"][0]["family_id"] != sections["test"][0]["family_id"]


@pytest.mark.parametrize("content", [b'{"training": [', '{"name": "\u00e9tude"}'.encode("latin-1")])
def test_malformed_datalist_is_refused(tmp_path, content):
    file = tmp_path / "list.json"
    file.write_bytes(content)
    with pytest.raises(InputProblems, match="Not a JSON file"):
        items_from_datalist(file, MODALITIES)


@pytest.mark.parametrize(
    "entry", ["sub-0001", {"participant_id": None}, {"participant_id": "a", "T1w": None, "JAC": ["x"]}]
)
def test_malformed_entries_of_a_datalist_are_refused(tmp_path, entry):
    file = tmp_path / "list.json"
    file.write_text(json.dumps({"training": [entry], "validation": None}))
    with pytest.raises(InputProblems):
        items_from_datalist(file, MODALITIES)
