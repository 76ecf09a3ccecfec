import json

import pytest

from bundle.data.cohort_source import CohortSource
from bundle.data.findings import LEFT_OUT, LOOK
from bundle.data.problems import InputProblems

IMAGES = {"T1w": "{participant_id}_T1w.nii.gz"}


@pytest.fixture
def folder(tmp_path):
    """Two participants with an image, and a third without."""
    for name in ("s1", "s2"):
        (tmp_path / f"{name}_T1w.nii.gz").touch()
    (tmp_path / "participants.tsv").write_text("participant_id\ns1\ns2\ns3\n")
    (tmp_path / "exclude.txt").write_text("s1 motion\ns3 withdrew\ns22 motion\n")
    return tmp_path


def lines(found):
    return {(finding.participant_id, finding.status, finding.reason) for finding in found.findings}


def test_whoever_is_excluded_by_name_is_told_so_with_images_and_without(folder):
    found = CohortSource(str(folder), images=IMAGES, exclude=str(folder / "exclude.txt")).find(["T1w"])
    assert lines(found) >= {("s1", LEFT_OUT, "excluded: motion"), ("s3", LEFT_OUT, "excluded: withdrew")}
    assert not any("on disk" in reason for _, _, reason in lines(found))
    assert found.flow[1] == ("not excluded by name", 1, "motion (1), withdrew (1)")


def test_an_exclusion_that_names_nobody_of_a_datalist_is_told(folder):
    people = [{"participant_id": name, "T1w": f"{name}_T1w.nii.gz"} for name in ("s1", "s2")]
    (folder / "list.json").write_text(json.dumps({"training": people}))
    found = CohortSource(str(folder / "list.json"), exclude=str(folder / "exclude.txt")).find(["T1w"])
    unknown = "is to be excluded, but no participant has this id"
    assert lines(found) == {("s1", LEFT_OUT, "excluded: motion"), ("s22", LOOK, unknown), ("s3", LOOK, unknown)}
    assert found.flow == [("in the datalist", 2, ""), ("not excluded by name", 1, ""), ("analysed", 1, "")]


@pytest.mark.parametrize("content", ["participant_id\tsit\u00e9\ns1\tA\n".encode("latin-1"), b""])
def test_a_participants_table_that_is_none_is_refused(folder, content):
    (folder / "participants.tsv").write_bytes(content)
    with pytest.raises(InputProblems, match=r"participants.tsv is no tab-separated table in UTF-8"):
        CohortSource(str(folder), images=IMAGES)
