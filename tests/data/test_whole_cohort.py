import json

import pytest

from bundle.data.whole_cohort import read_whole_cohort

NAMES = ["s1", "s2", "s3"]
PATTERNS = {"T1w": "{participant_id}_T1w.nii.gz"}


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        (tmp_path / f"{name}_T1w.nii.gz").touch()
    (tmp_path / "participants.tsv").write_text("participant_id\tfamily_id\ns1\tg1\ns2\tg2\ns3\tg3\n")
    people = [{"participant_id": name, "family_id": f"g{name[1]}", "T1w": f"{name}_T1w.nii.gz"} for name in NAMES]
    (tmp_path / "list.json").write_text(json.dumps({"training": people}))
    return tmp_path


@pytest.mark.parametrize("source", ["", "list.json"])
@pytest.mark.parametrize(
    ("table", "families"),
    [
        ("participant_id\tfamily_id\ns3\tn/a\ns1\tf1\ns2\tf1\n", ["f1", "f1", "g3"]),
        ("participant_id\tage_years\ns3\t3\ns1\t1\ns2\t2\n", ["g1", "g2", "g3"]),
    ],
)
def test_families_are_those_of_the_table_that_is_given(folder, source, table, families):
    (folder / "other.tsv").write_text(table)
    whole = read_whole_cohort("unused", str(folder / source), PATTERNS, ["T1w"], str(folder / "other.tsv"))
    assert whole.families == dict(zip(NAMES, families, strict=True))
