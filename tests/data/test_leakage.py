import gzip
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bundle.data.cohort_folder import items_from_folder
from bundle.data.leakage import same_images, shared_files
from bundle.data.relatives import relatives_apart
from bundle.data.voxel_hash import voxel_hash, voxel_hashes
from tests.conftest import PATTERNS


@pytest.fixture
def image(tmp_path):
    voxels = np.random.default_rng(0).normal(size=(6, 5, 4))
    picture = nib.Nifti1Image(voxels, np.diag([3.0, 3, 3, 1]))
    picture.set_data_dtype(np.int16)
    nib.save(picture, tmp_path / "one.nii.gz")
    return tmp_path / "one.nii.gz"


def test_one_file_for_two_images_is_named(tiny_cohort):
    items = items_from_folder(tiny_cohort, PATTERNS, ["T1w", "JAC"])
    items[1]["T1w"] = items[0]["T1w"]
    (problem,) = shared_files(items, ["T1w", "JAC"])
    assert "sub-0001 T1w and sub-0002 T1w" in problem.sentence


def test_a_copy_has_the_same_hash_whatever_its_name_compression_format_and_orientation(image, tmp_path):
    copies = [tmp_path / name for name in ("copy.nii.gz", "plain.nii", "tight.nii.gz", "float.nii.gz", "lps.nii")]
    shutil.copy(image, copies[0])
    copies[1].write_bytes(gzip.decompress(image.read_bytes()))
    with gzip.open(copies[2], "wb", compresslevel=1) as stream:
        stream.write(copies[1].read_bytes())
    loaded = nib.load(image)
    nib.save(nib.Nifti1Image(loaded.get_fdata().astype(np.float32), loaded.affine), copies[3])
    nib.save(nib.Nifti1Image(loaded.get_fdata()[::-1, ::-1], loaded.affine @ np.diag([-1, -1, 1, 1])), copies[4])
    assert {voxel_hash(str(file)) for file in copies} == {voxel_hash(str(image))}


def test_one_other_voxel_makes_another_hash(image, tmp_path):
    loaded = nib.load(image)
    voxels = loaded.get_fdata()
    voxels[2, 2, 2] += 0.01
    nib.save(nib.Nifti1Image(voxels.astype(np.float32), loaded.affine), tmp_path / "other.nii")
    assert voxel_hash(str(tmp_path / "other.nii")) != voxel_hash(str(image))


def test_hashes_are_kept_until_a_file_changes(image, tmp_path, monkeypatch):
    cache = tmp_path / "hashes.tsv"
    first, problems = voxel_hashes([str(image)], cache, progress=False)
    assert problems == []
    with monkeypatch.context() as patch:
        patch.setattr("bundle.data.voxel_hash.voxel_hash", None)
        assert voxel_hashes([str(image)], cache, progress=False) == (first, [])
    nib.save(nib.Nifti1Image(np.ones((3, 3, 3)), np.eye(4)), image)
    assert voxel_hashes([str(image)], cache, progress=False)[0] != first


def test_files_that_cannot_be_read_are_named_and_a_broken_cache_is_made_again(image, tmp_path):
    (tmp_path / "broken.nii.gz").write_bytes(image.read_bytes()[:50])
    (tmp_path / "hashes.tsv").write_text("not\ta table\n1\n")
    paths = [str(image), str(tmp_path / "broken.nii.gz")]
    hashes, problems = voxel_hashes(paths, tmp_path / "hashes.tsv", progress=False)
    assert list(hashes) == [str(image)] and len(problems) == 1 and "broken.nii.gz cannot be read" in problems[0]


def test_a_planted_copy_is_found_between_people_and_between_maps():
    items = [{"participant_id": f"s{n}", "family_id": f"f{n}", "T1w": f"{n}t", "FA": f"{n}f"} for n in range(3)]
    hashes = {"0t": "a", "0f": "b", "1t": "c", "1f": "d", "2t": "a", "2f": "c"}
    found = same_images(items, ["T1w", "FA"], hashes)
    assert [finding.sentence for finding in found] == [
        "s0, T1w, 0t: shows the same voxels as s2 T1w (2t): keep the right one.",
        "s2, T1w, 2t: shows the same voxels as s0 T1w (0t): keep the right one.",
        "s1, T1w, 1t: shows the same voxels as s2 FA (2f): keep the right one.",
        "s2, FA, 2f: shows the same voxels as s1 T1w (1t): keep the right one.",
    ]
    assert same_images(items, ["T1w", "FA"], {path: path for path in hashes}) == []


FAMILIES = {"s1": "f1", "s2": "f2", "s3": "f3", "s4": "f3"}


def table(**columns):
    return pd.DataFrame({"participant_id": list(FAMILIES), "family_id": list(FAMILIES.values()), **columns})


@pytest.mark.parametrize(
    "columns",
    [
        {"twin_id": ["t1", "t1", "t2", "t2"]},
        {"Mother_ID": ["m1", "m1", None, "m2"]},
        {"father_id": ["p", "p", "q", "q"]},
        {"twin_of": ["s2", "s1", "s4", "s3"]},
        {"twin_of": [None, "s1", None, None]},
        {"Family_ID": ["x", "x", "y", "y"]},
        {"zygosity": ["MZ", "MZ", "DZ", "DZ"], "age_years": ["24.1", "24.1", "30.5", "30.5"], "sex": list("FFMM")},
        {"ZygosityGT": ["DZ", "dz", None, None], "Age": ["24.1", "24.1", "30.5", "30.5"], "sex": list("FMMM")},
    ],
)
def test_planted_relatives_in_two_families_are_found(columns):
    (found,) = relatives_apart(table(**columns), FAMILIES)
    assert {"s1 (family f1)", "s2 (family f2)"} == set(found.split(" are ")[0].split(" and "))
    assert "give them one family_id" in found


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"twin_id": [None, None, "t2", "t2"]},
        {"zygosity": ["MZ", "MZ", "n/a", None], "age_years": ["24.1", "25.1", "30.5", "30.5"]},
        {"zygosity": ["MZ", "MZ", "n/a", None], "age_years": ["24.1", "24.1", "30.5", "30.5"], "sex": list("FMFM")},
        {"zygosity": ["MZ", "MZ", "n/a", None], "age_years": ["24", "24", "30", "30"]},
        {"zygosity": ["MZ", "MZ", None, None], "age_years": ["24.1"] * 4, "Mother_ID": ["a", "b", "c", "c"]},
        {"zygosity": ["MZ", "n/a", "MZ", "MZ"], "age_years": ["24.1"] * 4},
        {"Family_ID": ["0", "0", "y", "y"]},
        {"twin_number": ["1", "1", "2", "2"], "mother_age": ["30", "30", "31", "31"], "sibling_no": ["2"] * 4},
        {"father_id": ["0", "0", "0", "p"], "Mother_ID": [0, 0, 1, 1], "twin_id": ["0"] * 4},
    ],
)
def test_people_who_may_be_strangers_are_left_alone(columns):
    assert relatives_apart(table(**columns), FAMILIES) == []


def test_a_family_of_one_is_named_as_such():
    (found,) = relatives_apart(table(twin_id=["t", "t", "u", "u"]), FAMILIES | {"s1": "family of s1"})
    assert found.startswith("s1 (family of s1) and s2 (family f2) are relatives")


@pytest.mark.parametrize("seed", range(5))
def test_a_synthetic_cohort_is_free_of_leakage_and_a_twin_moved_out_of_its_family_is_found(seed):
    from bundle.data.population import draw_population

    people = draw_population(np.random.default_rng(seed), 300, 4, 6.0, 0.0).participants.reset_index()
    people = people.astype(str).replace("n/a", np.nan)
    families = dict(zip(people["participant_id"], people["family_id"], strict=True))
    assert relatives_apart(people, families) == []
    twin = people.loc[people["zygosity"] == "MZ", "participant_id"].iloc[0]
    assert any(twin in sentence for sentence in relatives_apart(people, families | {twin: "elsewhere"}))


def test_hashes_of_other_images_stay_in_the_cache(tmp_path, monkeypatch):
    paths = [str(tmp_path / f"{name}.nii.gz") for name in "ab"]
    for number, path in enumerate(paths):
        nib.save(nib.Nifti1Image(np.full((2, 2, 2), number, np.float32), np.eye(4)), path)
    cache = tmp_path / "hashes.tsv"
    first = [voxel_hashes([path], cache, progress=False)[0][path] for path in paths]
    monkeypatch.setattr("bundle.data.voxel_hash.voxel_hash", None)
    hashes, problems = voxel_hashes(paths, cache, progress=False)
    assert [hashes[path] for path in paths] == first and problems == []


def test_scans_of_one_person_in_two_families_are_found_and_hide_no_twins():
    table = pd.DataFrame(
        {
            "participant_id": ["a", "a_again", "b", "c", "d"],
            "person_id": ["a", "a", None, None, None],
            "zygosity": ["n/a", "n/a", "n/a", "MZ", "MZ"],
            "age_years": ["30.1", "31.2", "40.0", "25.5", "25.5"],
        }
    )
    apart = {name: f"family of {name}" for name in table["participant_id"]}
    scans, twins = relatives_apart(table, apart)
    assert "a_again" in scans and "scans of one participant by person_id" in scans
    assert "c " in twins and "twins" in twins
    together = apart | {"a_again": "family of a", "d": "family of c"}
    assert relatives_apart(table, together) == []
