"""Files that are there are found whatever the case of their letters; where none is, what was tried is said."""

import itertools

import pytest
import yaml

from bundle.data.cohort_folder import items_from_folder
from bundle.data.cohort_source import CohortSource
from bundle.data.file_patterns import Image, find_files
from bundle.data.findings import MEND
from bundle.data.image_choice import choose
from bundle.data.problems import InputProblems
from bundle.data.session_order import in_order
from bundle.mapping.scans import find_scans
from tests.conftest import ROOT

BIDS = yaml.safe_load((ROOT / "configs" / "layouts" / "bids.yaml").read_text())
FA = "qsirecon/derivatives/qsirecon-DSIStudio/{0}/dwi/{0}_space-MNI152NLin2009cAsym_model-tensor_param-fa_dwimap.nii.gz"
NDI = "qsirecon/derivatives/qsirecon-NODDI/{0}/dwi/{0}_space-MNI152NLin2009cAsym_model-noddi_param-icvf_dwimap.nii.gz"


def bids(folder, change=lambda path: path, people=("sub-01", "sub-02"), derivatives="derivatives"):
    for name, pattern in itertools.product(people, (FA, NDI)):
        file = folder / derivatives / change(pattern.format(name))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    (folder / "participants.tsv").write_text("participant_id\tage\n" + "".join(f"{name}\t30\n" for name in people))
    return folder


def found(folder, modalities=("FA", "NDI"), **options):
    return CohortSource(str(folder), BIDS, **options).find(list(modalities))


CHANGES = {
    "as they are": lambda path: path,
    "without compression": lambda path: path.removesuffix(".gz"),
    "ICVF": lambda path: path.replace("icvf", "ICVF").replace("param-fa", "param-FA"),
    "capital folders": lambda path: path.replace("/dwi/", "/DWI/"),
    "another case of the space": lambda path: path.replace("MNI152NLin2009cAsym", "MNI152NLin2009CASYM"),
    "a cohort of a template": lambda path: path.replace("MNI152NLin2009cAsym", "MNIPediatricAsym_cohort-3"),
    "only some": lambda path: path.replace("icvf", "ICVF").removesuffix(".gz") if "sub-02" in path else path,
}


@pytest.mark.parametrize("change", CHANGES)
def test_files_are_found_whatever_their_letters_and_compression(tmp_path, change):
    cohort = found(bids(tmp_path, CHANGES[change]))
    assert [item["participant_id"] for item in cohort.items] == ["sub-01", "sub-02"]
    assert all({"FA", "NDI"} <= set(item) for item in cohort.items)
    assert {item["space"] for item in cohort.items} <= set(BIDS["space"])
    assert not [finding for finding in cohort.findings if finding.status == MEND]


def test_the_exact_name_wins(tmp_path):
    bids(tmp_path), bids(tmp_path, CHANGES["ICVF"]), bids(tmp_path, CHANGES["without compression"])
    cohort = found(tmp_path)
    assert all("icvf" in item["NDI"] and item["NDI"].endswith(".gz") for item in cohort.items)
    assert not [finding for finding in cohort.findings if finding.status == MEND]


def test_folders_before_the_placeholders_keep_their_case(tmp_path):
    (tmp_path / "Maps").mkdir()
    (tmp_path / "Maps" / "sub-1_FA.nii").write_bytes(b"")
    assert find_files(tmp_path, "maps/{participant_id}_fa.nii.gz", {}, loosely=True) == {}
    assert set(find_files(tmp_path, "Maps/{participant_id}_fa.nii.gz", {}, loosely=True)) == {Image("sub-1", "", "")}


@pytest.mark.parametrize(
    "options",
    [{"derivatives": ""}, {"derivatives": "derivatives/qsirecon"}, {"derivatives": "nowhere"}, {"dataset_dir": "derivatives", "tables_dir": ""}],
)  # fmt: skip
def test_a_folder_one_level_off_is_an_error_with_what_was_tried_and_the_nearest_files(tmp_path, options):
    bids(tmp_path)
    options = {name: str(tmp_path / part) for name, part in options.items()}
    cohort = found(options.pop("dataset_dir", tmp_path), **options)
    told = [f for f in cohort.findings if f.status == MEND and f.participant_id == ""]
    assert cohort.items == [] and len(told) >= 2
    for finding in told[:2]:
        assert "param-" in finding.reason and "nearest files are" in finding.reason and "sub-0" in finding.reason


def test_an_empty_folder_is_an_error(tmp_path):
    (tmp_path / "participants.tsv").write_text("participant_id\nsub-01\n")
    told = [finding.reason for finding in found(tmp_path).findings if finding.status == MEND]
    assert any("there is no image in" in reason for reason in told)


def test_a_cohort_of_which_nobody_is_left_is_an_error(tmp_path):
    (bids(tmp_path) / "out.txt").write_text("sub-01\nsub-02\n")
    told = [f.reason for f in found(tmp_path, exclude=str(tmp_path / "out.txt")).findings if f.status == MEND]
    assert any("none is left of 2 participants" in reason for reason in told)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["10", "2", "1"], ["1", "2", "10"]), (["M12", "M00", "M6"], ["M00", "M6", "M12"]), (["retest", "test"], ["test", "retest"]),
        (["followup", "baseline"], ["baseline", "followup"]), (["followup2", "followup1", "baseline"], ["baseline", "followup1", "followup2"]),
        (["post", "pre"], ["pre", "post"]), (["BL", "FU"], ["BL", "FU"]), (["wave2", "wave10"], ["wave2", "wave10"]),
        (["ketamine", "placebo"], None), (["pre", "test"], None), (["b", "a"], None), (["one"], ["one"]), (["A1", "B2"], None),
    ],
)  # fmt: skip
def test_sessions_are_in_order_of_time_or_in_none(labels, expected):
    assert in_order(labels) == expected and in_order(labels[::-1]) == expected


@pytest.mark.parametrize("rule", ["first", "last"])
def test_a_rule_that_names_do_not_answer_is_asked_about(tmp_path, rule):
    files = {"T1w": {Image("s", "ketamine", ""): tmp_path, Image("s", "placebo", ""): tmp_path}}
    _, (finding,) = choose(files, ["s"], rule, None)
    assert finding.status == MEND and f"which is {rule}" in finding.reason
    files = {"T1w": {Image("s", "retest", ""): tmp_path, Image("s", "test", ""): tmp_path}}
    choices, findings = choose(files, ["s"], rule, None)
    assert findings == [] and choices["s"].session == {"first": "test", "last": "retest"}[rule]


def test_a_cohort_folder_may_hold_images_without_compression(tmp_path):
    (tmp_path / "participants.tsv").write_text("participant_id\ns1\ns2\n")
    for name in ("s1.nii", "s2.nii.gz"):
        (tmp_path / name).write_bytes(b"")
    items = items_from_folder(tmp_path, {"T1w": "{participant_id}.nii.gz"}, ["T1w"])
    assert [item["T1w"].rsplit("/")[-1] for item in items] == ["s1.nii", "s2.nii.gz"]


def test_of_several_scans_those_that_are_not_meant_can_be_said(tmp_path):
    for run in ("run-1", "run-2"):
        (tmp_path / f"sub-1_{run}_T1w.nii.gz").write_bytes(b"")
    scans = {"name": "mine", "files": {"T1w": ["{participant_id}_*T1w.nii.gz"]}}
    arguments = (str(tmp_path), None, None, None, None, None)
    with pytest.raises(InputProblems, match="say which are not meant by `without` beside `files`"):
        find_scans(scans, *arguments)
    scans["files"]["T1w"] = {"files": "{participant_id}_*T1w.nii.gz", "without": ["*run-2*"]}
    with pytest.raises(InputProblems, match=r"run-1_T1w\.nii\.gz: cannot be read") as caught:
        find_scans(scans, *arguments)
    assert "run-2" not in str(caught.value)
    scans["files"]["T1w"] = {"without": ["*run-2*"]}
    with pytest.raises(InputProblems, match="expected patterns, or a mapping of files and without"):
        find_scans(scans, *arguments)
