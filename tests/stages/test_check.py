import json
import re
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bundle.data.problems import InputProblems
from tests.conftest import PATTERNS, root_cause, run_stage


def image_of(cohort, number, modality):
    return cohort / PATTERNS[modality].format(participant_id=f"sub-{number:04d}")


def rewrite(file, change, affine=None):
    image = nib.load(file)
    voxels = change(image.get_fdata(dtype=np.float32))
    nib.save(nib.Nifti1Image(np.ascontiguousarray(voxels), image.affine if affine is None else affine), file)


def brighter_right(voxels):
    return voxels * np.where(np.arange(voxels.shape[0]) >= voxels.shape[0] // 2, 1.5, 1)[:, None, None].astype(
        np.float32
    )


@pytest.fixture(scope="module")
def broken(tiny_cohort, tmp_path_factory):
    """A copy of the tiny cohort with one thing wrong in each of some participants."""
    cohort = tmp_path_factory.mktemp("broken") / "cohort"
    shutil.copytree(tiny_cohort, cohort, ignore=shutil.ignore_patterns("truth"))
    for number in range(1, 25):
        rewrite(image_of(cohort, number, "T1w"), brighter_right)
        rewrite(image_of(cohort, number, "JAC"), np.exp)  # raw determinants, as registration tools write them
    image_of(cohort, 3, "JAC").unlink()
    shutil.copy(image_of(cohort, 4, "FA"), image_of(cohort, 4, "T1w"))
    other = image_of(cohort, 5, "NDI").read_bytes()
    shutil.copy(image_of(cohort, 5, "FA"), image_of(cohort, 5, "NDI"))
    image_of(cohort, 5, "FA").write_bytes(other)
    whole = image_of(cohort, 6, "T1w").read_bytes()
    image_of(cohort, 6, "T1w").write_bytes(whole[: len(whole) // 2])
    rewrite(image_of(cohort, 7, "FA"), lambda voxels: voxels[:, :, :-4])
    rewrite(image_of(cohort, 8, "NDI"), lambda voxels: voxels, affine=np.diag([6.0, 6.0, 6.0, 1.0]))
    rewrite(image_of(cohort, 9, "T1w"), lambda voxels: voxels[::-1])
    rng = np.random.default_rng(0)
    rewrite(image_of(cohort, 10, "T1w"), lambda v: v + 400 * (v > 0) * rng.standard_normal(v.shape, dtype=np.float32))
    rewrite(image_of(cohort, 11, "FA"), lambda voxels: 1000 * voxels)
    rewrite(image_of(cohort, 12, "JAC"), lambda voxels: voxels - 2 * (voxels > np.percentile(voxels, 99.5)))
    shutil.rmtree(cohort / "sub-0013")
    shutil.copytree(cohort / "sub-0014", cohort / "stranger")
    for file in (cohort / "stranger").iterdir():
        own = file.rename(file.with_name(file.name.replace("sub-0014", "stranger")))
        rewrite(own, lambda voxels: voxels + np.float32(1e-4))
    shutil.copy(image_of(cohort, 18, "JAC"), image_of(cohort, 19, "JAC"))
    flipped = nib.load(image_of(cohort, 20, "NDI"))
    rewrite(image_of(cohort, 20, "NDI"), lambda voxels: voxels, affine=np.diag([-1, 1, 1, 1]) @ flipped.affine)
    image_of(cohort, 21, "JAC").unlink()
    image_of(cohort, 21, "JAC").symlink_to("../.git/annex/objects/key.nii.gz")
    rewrite(image_of(cohort, 2, "FA"), lambda voxels: voxels + np.float32(1e-4))
    (cohort / "exclude.txt").write_text(
        "participant_id\treason\nsub-0015\tmotion\nsub-0016, motion\nsub-0017\nnobody x\n"
    )
    return cohort


@pytest.fixture(scope="module")
def checked(broken, tmp_path_factory):
    from tests.conftest import ROOT

    output = tmp_path_factory.mktemp("checked")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(ROOT)
        with pytest.raises(RuntimeError) as caught:
            run_stage("checking", output, dataset_dir=str(broken), exclude=str(broken / "exclude.txt"))
    return output / "0_checked", root_cause(caught.value)


def lines(checked, name, status):
    table = pd.read_csv(checked[0] / "check.tsv", sep="\t", keep_default_na=False)
    return table[(table["participant_id"] == name) & (table["status"] == status)]


WRONG = [
    ("sub-0003", "JAC", "no JAC", "leave JAC out of --modalities"),
    ("sub-0004", "T1w", "looks like FA", "give the participant's T1w"),
    ("sub-0005", "FA", "looks like NDI", "give the participant's FA"),
    ("sub-0005", "NDI", "looks like FA", "give the participant's NDI"),
    ("sub-0006", "T1w", "cannot be read", "copy or make it again"),
    ("sub-0007", "FA", "expected the grid 32 x 32 x 24 of most files, got 32 x 32 x 20", "resample it"),
    ("sub-0008", "NDI", "its affine differs", "bring it to the common template space"),
    ("sub-0009", "T1w", "left and right seem exchanged", "sign of its affine's first axis"),
    ("sub-0011", "FA", "in most files of FA 0.", "another map under its name"),
    ("sub-0018", "JAC", "shows the same voxels as sub-0019 JAC", "keep the right one"),
    ("sub-0019", "JAC", "shows the same voxels as sub-0018 JAC", "keep the right one"),
    ("sub-0021", "JAC", "is a link to ../.git/annex/objects/key.nii.gz, which is not there", "datalad get"),
    ("stranger", "", "has images, but no row in the tables", "add the row"),
]


@pytest.mark.parametrize(("name", "modality", "reason", "how_to_mend"), WRONG)
def test_what_must_be_mended_is_named_with_how(checked, name, modality, reason, how_to_mend):
    found = lines(checked, name, "mend")
    found = found[found["modality"] == modality]
    assert len(found) == 1
    assert reason in found["reason"].iloc[0] and how_to_mend in found["how_to_mend"].iloc[0]


def test_nothing_else_must_be_mended_and_everything_comes_at_once(checked):
    table = pd.read_csv(checked[0] / "check.tsv", sep="\t", keep_default_na=False)
    wrong = table[table["status"] == "mend"]
    assert isinstance(checked[1], InputProblems)
    assert len(wrong) == len(WRONG) == len(checked[1].problems)
    assert set(wrong["participant_id"]) == {row[0] for row in WRONG}


@pytest.mark.parametrize(("name", "reason"), [("sub-0010", "spread of values"), ("sub-0012", "negative Jacobian"), ("sub-0020", "is stored LAS, 20 of 21 files of NDI RAS"), ("nobody", "no participant has this id")])  # fmt: skip
def test_odd_images_and_names_are_worth_a_look(checked, name, reason):
    assert lines(checked, name, "look")["reason"].str.contains(reason).any()


def test_people_left_out_are_counted_with_reasons(checked):
    flow = pd.read_csv(checked[0] / "flow.tsv", sep="\t", keep_default_na=False)
    assert flow["people"].tolist() == [25, 22, 21, 21]
    assert "motion (2)" in flow["reason"].iloc[1] and "named in exclude.txt (1)" in flow["reason"].iloc[1]
    assert (
        lines(checked, "sub-0013", "left out")["reason"].iloc[0] == "is in the tables, but none of the maps is on disk"
    )
    assert "excluded: motion" in lines(checked, "sub-0015", "left out")["reason"].iloc[0]


def test_page_needs_no_other_file_and_shows_the_oddest_first(checked):
    page = (checked[0] / "check.html").read_text()
    assert "13 things to be fixed before training, in 12 participants" in page
    assert 'src="data:image/jpeg;base64,' in page
    words = re.sub('base64,[^"]*', "", page)  # letters of an image can spell anything
    assert "http" not in words.replace("http-equiv", "")
    assert page.index("<h3>sub-0004") < page.index("<h3>sub-0010") < page.index("<h3>sub-0020")


def test_page_says_how_many_it_leaves_out(tiny_cohort, tmp_path):
    run_stage("checking", tmp_path, dataset_dir=str(tiny_cohort), most_people=3)
    page = (tmp_path / "0_checked" / "check.html").read_text()
    assert page.count('<section class="person">') == 3 and "The 3 oddest of 24" in page
    assert "Nothing must be fixed" in page


def test_red_numbers_are_those_above_the_limit_that_was_asked_for(tiny_cohort, tmp_path):
    counts = {}
    for limit in (1.5, 6):
        run_stage("checking", tmp_path, dataset_dir=str(tiny_cohort), outlier_limit=limit)
        page = (tmp_path / "0_checked" / "check.html").read_text()
        assert f"more than {limit} robust standard deviations" in page
        counts[limit] = page.count('class="far"')
    assert counts[1.5] > counts[6]


def test_headers_alone_find_a_half_downloaded_file(broken, tmp_path):
    with pytest.raises(RuntimeError) as caught:
        run_stage("checking", tmp_path, dataset_dir=str(broken), voxels="headers")
    text = str(root_cause(caught.value))
    assert "sub-0006, T1w" in text and "sub-0007, FA" in text and "sub-0004, T1w" not in text


def test_datalists_are_checked_too(tiny_cohort, tmp_path):
    people = [
        {"participant_id": f"sub-{n:04d}", **{m: str(image_of(tiny_cohort, n, m)) for m in PATTERNS}}
        for n in range(1, 10)
    ]
    (tmp_path / "list.json").write_text(json.dumps({"training": people[:8], "test": people[8:]}))
    run_stage("checking", tmp_path, dataset_dir=str(tmp_path / "list.json"))
    assert pd.read_csv(tmp_path / "0_checked" / "flow.tsv", sep="\t")["people"].tolist() == [9, 9]


def test_a_file_given_twice_is_found_though_a_map_is_missing_and_its_path_has_a_colon(tiny_cohort, tmp_path):
    cohort = tmp_path / "a: b" / "cohort"
    shutil.copytree(tiny_cohort, cohort, ignore=shutil.ignore_patterns("truth"))
    image_of(cohort, 3, "JAC").unlink()
    image_of(cohort, 2, "T1w").unlink()
    image_of(cohort, 2, "T1w").symlink_to(image_of(cohort, 1, "T1w"))
    with pytest.raises(RuntimeError):
        run_stage("checking", tmp_path, dataset_dir=str(cohort), voxels="headers", incomplete="keep")
    table = pd.read_csv(tmp_path / "0_checked" / "check.tsv", sep="\t", keep_default_na=False)
    (line,) = table[table["reason"].str.contains("is given for")].to_dict("records")
    assert line["reason"] == f"{image_of(cohort, 1, 'T1w')} is given for sub-0001 T1w and sub-0002 T1w"
    assert line["how_to_mend"] == "each image needs its own" and line["status"] == "mend"
    assert line["participant_id"] == line["modality"] == line["file"] == ""


@pytest.mark.parametrize(("options", "words"), [({"voxels": "some"}, "--voxels must be one of"), ({"incomplete": "x"}, "--incomplete must be"), ({"exclude": "no.txt"}, "--exclude takes")])  # fmt: skip
def test_wrong_settings_are_refused(tiny_cohort, tmp_path, options, words):
    with pytest.raises(RuntimeError) as caught:
        run_stage("checking", tmp_path, dataset_dir=str(tiny_cohort), **options)
    assert words in str(root_cause(caught.value))
