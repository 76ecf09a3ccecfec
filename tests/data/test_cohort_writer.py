import dataclasses
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bundle.data.cohort_folder import items_from_folder
from bundle.data.cohort_settings import CohortSettings
from bundle.data.cohort_writer import is_as_drawn, write_cohort
from bundle.data.problems import InputProblems
from tests.conftest import PATTERNS, TINY

SMALL = CohortSettings(n_subjects=6, spacing_mm=6.0, seed=1)


def volumes(folder, name):
    return {path.name: nib.load(path).get_fdata() for path in sorted((folder / name).glob("*.nii.gz"))}


def test_cohort_is_ordinary_nifti_and_tables(tiny_cohort):
    people = pd.read_csv(tiny_cohort / "participants.tsv", sep="\t")
    items = pd.read_csv(tiny_cohort / "phenotypes.tsv", sep="\t", na_values="n/a")
    assert len(people) == len(items) == TINY.n_subjects
    for name in people["participant_id"]:
        for modality in ("T1w", "FA", "NDI", "JAC"):
            image = nib.load(tiny_cohort / name / f"{name}_{modality}.nii.gz")
            assert image.shape == (32, 32, 24)
            assert np.allclose(image.header.get_zooms(), 6.0)
    # what is true must not be among what a researcher knows
    assert not {"stratum", "factor_1"} & set(people.columns) | {"stratum"} & set(items.columns)


def test_jacobians_are_logarithms_and_fractions_are_fractions(tiny_cohort):
    for name in ("sub-0001", "sub-0020"):
        data = volumes(tiny_cohort, name)
        assert data[f"{name}_JAC.nii.gz"].min() < 0 < data[f"{name}_JAC.nii.gz"].max() < 3
        for modality in ("FA", "NDI"):
            fraction = data[f"{name}_{modality}.nii.gz"]
            assert fraction.min() >= 0 and fraction.max() <= 1


def test_noise_free_truth_differs_from_the_image_by_noise_only(tiny_cohort):
    name = "sub-0003"
    noisy = volumes(tiny_cohort, name)[f"{name}_NDI.nii.gz"]
    clean = volumes(tiny_cohort / "truth", name)[f"{name}_NDI.nii.gz"]
    inside = (clean > 0.1) & (clean < 0.9)
    difference = (noisy - clean)[inside]
    assert abs(difference.mean()) < 0.004
    assert difference.std() == pytest.approx(TINY.measurement_noise[2], rel=0.35)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_images_depend_on_the_seed_not_on_the_workers(tiny_cohort, tmp_path, num_workers):
    settings = dataclasses.replace(TINY)
    write_cohort(tmp_path / "again", settings, num_workers)
    for name in ("sub-0001", "sub-0024"):
        for file, expected in volumes(tiny_cohort, name).items():
            assert np.array_equal(volumes(tmp_path / "again", name)[file], expected)


def test_interrupted_writing_resumes_to_the_same_cohort(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    write_cohort(whole, SMALL)
    shutil.copytree(whole, broken)
    (broken / "participants.tsv").unlink()
    shutil.rmtree(broken / "sub-0002")
    shutil.copytree(whole / "sub-0003", broken / ".99.sub-0003")  # what a killed worker leaves
    write_cohort(broken, SMALL)
    assert not list(broken.glob(".99*"))
    assert len(items_from_folder(broken, PATTERNS, ["T1w"])) == 6
    assert volumes(broken, "sub-0002").keys() == volumes(whole, "sub-0002").keys()
    for file, expected in volumes(whole, "sub-0002").items():
        assert np.array_equal(volumes(broken, "sub-0002")[file], expected)
    assert (broken / "participants.tsv").read_text() == (whole / "participants.tsv").read_text()


def test_of_several_calls_at_once_one_draws_and_nothing_is_left_behind(tmp_path, monkeypatch):
    drawn = []

    def write_people(folder, settings, numbers):
        time.sleep(0.2)  # so that the other call comes meanwhile
        drawn.extend(numbers)
        return len(numbers)

    monkeypatch.setattr("bundle.data.cohort_writer._write_people", write_people)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: write_cohort(tmp_path, SMALL, 1), range(3)))
    assert drawn == list(range(6))
    names = {"cohort.json", "participants.tsv", "phenotypes.tsv", "truth"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_folder_with_another_cohort_is_refused_and_left_alone(tmp_path):
    write_cohort(tmp_path, SMALL)
    before = (tmp_path / "cohort.json").read_text()
    with pytest.raises(InputProblems, match="n_subjects: 6 there, 7 asked for"):
        write_cohort(tmp_path, dataclasses.replace(SMALL, n_subjects=7))
    assert (tmp_path / "cohort.json").read_text() == before
    assert json.loads(before)["n_subjects"] == 6


def test_missing_modalities_leave_everybody_at_least_one(tmp_path):
    write_cohort(tmp_path, dataclasses.replace(SMALL, missing_modalities=0.7))
    counts = [len(list(folder.glob("*.nii.gz"))) for folder in tmp_path.glob("sub-*")]
    assert (min(counts) >= 1 and max(counts) < 4) or sum(counts) < 24


def test_a_cohort_is_told_from_others_with_its_settings_file(tiny_cohort, cohort):
    modalities = ("T1w", "FA", "NDI", "JAC")
    items = items_from_folder(tiny_cohort, PATTERNS, modalities)
    assert is_as_drawn(tiny_cohort, items)
    assert not is_as_drawn(cohort.parent, items)
    assert not is_as_drawn(tiny_cohort, [{**items[0], "participant_id": "jane"}, *items[1:]])
    first, second = items[:2]
    exchanged = [{**first, **{m: second[m] for m in modalities}}, *items[1:]]
    assert not is_as_drawn(tiny_cohort, exchanged)


@pytest.mark.parametrize("progress", [True, False])
def test_a_bar_is_shown_if_it_is_wanted(tmp_path, capsys, progress):
    write_cohort(tmp_path, SMALL, num_workers=1, progress=progress)
    assert ("Drawing" in capsys.readouterr().err) == progress
