from pathlib import Path

import pytest

from bundle.data.derivations import find_derivable, pattern_of
from bundle.data.file_patterns import Image
from bundle.data.image_choice import existing_files
from bundle.data.layouts import read_layout
from bundle.data.problems import InputProblems

LAYOUT = {
    "name": "mine",
    "space": ["A", "B"],
    "images": {
        "NDI": {
            "files": ["{participant_id}/ses-{session}/ndi_{space}.nii.gz", "{participant_id}/ndi_{space}.nii.gz"],
            "derive": [
                {
                    "warp": ["{participant_id}/to_{space}.h5"],
                    "image": ["{participant_id}/ses-{session}/ndi*.nii.gz", "{participant_id}/ndi*.nii.gz"],
                    "native": "{participant_id}/t1.nii.gz",
                    "like": "{participant_id}/t1_{space}.nii.gz",
                    "without": ["*_[AB].nii.gz", "*modulated*"],
                },
                {
                    "warp": ["{participant_id}/old.nii.gz"],
                    "image": ["{participant_id}/ses-{session}/ndi.nii.gz", "{participant_id}/ndi.nii.gz"],
                    "native": "{participant_id}/t1.nii.gz",
                    "like": "{participant_id}/t1_{space}.nii.gz",
                },
            ],
        }
    },
}
COMPLETE = ("to_A.h5", "t1.nii.gz", "t1_A.nii.gz")


def found_in(tmp_path: Path, *names: str):
    for name in names:
        (tmp_path / "p1" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "p1" / name).write_text("")
    layout = read_layout(LAYOUT)
    files, _ = existing_files(layout.images, tmp_path, {}, layout.space, layout.ids)
    return find_derivable(layout.images, files, tmp_path, {}, layout.space, layout.ids)


def test_a_map_without_a_file_is_made_of_a_warp_of_any_session(tmp_path):
    found = found_in(tmp_path, *COMPLETE, "ses-1/ndi.nii.gz", "ses-2/ndi_x.nii.gz", "ndi_modulated.nii.gz")
    assert set(found.maps["NDI"]) == {Image("p1", "1", "A"), Image("p1", "2", "A")}
    derivation = found.maps["NDI"]["p1", "2", "A"]
    assert [path.name for path in derivation.files] == ["to_A.h5", "t1.nii.gz", "t1_A.nii.gz", "ndi_x.nii.gz"]
    assert derivation.words == "ndi*.nii.gz by to_{space}.h5"


def test_a_file_comes_first(tmp_path):
    found = found_in(tmp_path, *COMPLETE, "ses-1/ndi.nii.gz", "ses-2/ndi.nii.gz", "ses-2/ndi_A.nii.gz")
    assert set(found.maps["NDI"]) == {Image("p1", "1", "A")}
    assert not found_in(tmp_path, "ndi_A.nii.gz").maps["NDI"]


def test_each_space_has_its_own_warp(tmp_path):
    found = found_in(tmp_path, *COMPLETE, "ndi.nii.gz", "to_B.h5", "t1_B.nii.gz")
    assert {image.space: made.like.name for image, made in found.maps["NDI"].items()} == {
        "A": "t1_A.nii.gz",
        "B": "t1_B.nii.gz",
    }


def test_the_second_way_is_taken_where_the_first_lacks_a_file(tmp_path):
    found = found_in(tmp_path, "old.nii.gz", "ndi.nii.gz", "t1.nii.gz")
    assert not found.maps["NDI"]
    assert (
        found.lacking["p1", "NDI"] == "it could be derived, but there is no like ({participant_id}/t1_{space}.nii.gz)"
    )


def test_a_warp_that_names_no_space_is_of_the_first(tmp_path):
    found = found_in(tmp_path, "old.nii.gz", "ndi.nii.gz", "t1.nii.gz", "t1_A.nii.gz")
    assert found.maps["NDI"][Image("p1", "", "A")].words == "ndi.nii.gz by old.nii.gz"


def test_what_is_missing_of_a_derivation_is_named(tmp_path):
    found = found_in(tmp_path, "ndi.nii.gz", "t1.nii.gz", "t1_A.nii.gz")
    assert "there is no warp (" in found.lacking["p1", "NDI"]


def test_several_files_are_said_only_of_what_would_be_used(tmp_path):
    found = found_in(tmp_path, *COMPLETE, "ndi_x.nii.gz", "ndi_y.nii.gz")
    (finding,) = found.findings
    assert "2 files match {participant_id}/ndi*.nii.gz: ndi_x.nii.gz and ndi_y.nii.gz" in finding.reason
    assert not found_in(tmp_path, "ndi_A.nii.gz").findings


WRONG = [
    ({"jacobian_of": "{participant_id}/w.h5", "image": "{participant_id}/x.nii.gz"}, "give either jacobian_of"),
    ({"warp": "{participant_id}/w.h5"}, "give either jacobian_of (a warp), or warp and image"),
    ({"jacobian_of": "{participant_id}/w.h5"}, "no native: the image that the warp was made for"),
    ({"jacobian_of": "w.h5"}, "the pattern 'w.h5' has no {participant_id}"),
    ({"determinant": "{participant_id}/w.h5"}, "unknown entry 'determinant': known are jacobian_of, warp, image"),
    ("w.h5", "expected jacobian_of, warp, image"),
]


@pytest.mark.parametrize(("entry", "words"), WRONG)
def test_words_that_are_no_derivation_are_refused_by_name(entry, words):
    images = {"JAC": {"files": "{participant_id}/jac.nii.gz", "derive": entry}}
    with pytest.raises(InputProblems) as caught:
        read_layout({"name": "mine", "space": "A", "images": images})
    assert words in str(caught.value) and "images: JAC" in str(caught.value)


def test_a_map_may_be_derived_only():
    way = {"jacobian_of": "{participant_id}/w.h5", "native": "{participant_id}/t.nii", "like": "{participant_id}/l.nii"}
    layout = read_layout({"name": "mine", "space": "A", "images": {"JAC": {"derive": way}}})
    assert layout.images["JAC"].derive[0].patterns["warp"] == ("{participant_id}/w.h5",)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("100307/T1w/Diffusion/NODDI_ICVF.nii.gz", "NODDI_ICVF.nii.gz"),
        ("100307/T1w/Diffusion/AMICO/NODDI/fit_NDI.nii.gz", "fit_NDI.nii.gz"),
        ("deriv/a/b/100307_x/ndi_2.nii.gz", "ndi_*.nii.gz"),
    ],
)
def test_what_was_found_is_called_by_its_own_pattern(tmp_path, file, name):
    patterns = ["{participant_id}/T1w/Diffusion/NODDI_ICVF.nii.gz", "{participant_id}/T1w/Diffusion/AMICO/NODDI/fit_NDI.nii.gz",
                "{derivatives}/**/{participant_id}_*/ndi_*.nii.gz"]  # fmt: skip
    assert pattern_of(tmp_path / file, patterns) == name
