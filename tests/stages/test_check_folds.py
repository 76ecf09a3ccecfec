import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from bundle.data.problems import InputProblems
from tests.conftest import ROOT
from tests.stages.fake_folds import checked, run


def test_leakage_of_every_kind_is_listed_at_once(cohort, tmp_path):
    table = pd.read_csv(cohort / "participants.tsv", sep="\t", dtype=str, keep_default_na=False)
    pairs = table.groupby("family_id")["participant_id"].apply(list)
    first, second = next(members for members in pairs if len(members) == 2)
    (lone,) = next(members for members in pairs if len(members) == 1)
    folds = table[["participant_id"]].assign(fold=lambda frame: np.where(frame["participant_id"] == first, 2, 1))
    folds.to_csv(tmp_path / "mine.tsv", sep="\t", index=False)
    table["twin_id"] = np.where(table["participant_id"].isin([first, lone]), "pair", "n/a")
    table.to_csv(cohort / "participants.tsv", sep="\t", index=False)
    shutil.copy(cohort / second / f"{second}_T1w.nii.gz", cohort / lone / f"{lone}_T1w.nii.gz")
    with pytest.raises(InputProblems) as caught:
        checked(tmp_path / "output", cohort, folds_file=str(tmp_path / "mine.tsv"))
    text = str(caught.value)
    assert len(caught.value.problems) == 4
    assert f"is in fold 1 ({second}" in text and f"and fold 2 ({first})" in text
    assert (
        f"same voxels as {second} T1w (" in text
        and f"same voxels as {lone} T1w (" in text
        and "are relatives by twin_id, but stand in several families" in text
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_folds": 1}, "--n_folds: expected a whole number from 2 to"),
        ({"n_folds": 24}, "--n_folds: expected a whole number from 2 to"),
        ({"n_folds": 2.5}, "got 2.5"),
        ({"stratify": "sex"}, r"Expected usual or a list such as \"\['sex','site'\]\", got 'sex'"),
        ({"stratify": ["sex", "sight"]}, "No column 'sight' in the participants table: it has zygosity, sex"),
    ],
)
def test_settings_that_cannot_be_are_refused(tiny_cohort, tmp_path, options, message):
    with pytest.raises(InputProblems, match=message):
        checked(tmp_path, tiny_cohort, **options)


def test_a_datalist_may_be_divided_too(tiny_cohort, tmp_path, stages):
    run(tmp_path / "folder", tiny_cohort, fold=1)
    datalist = tmp_path / "folder" / "folds" / "fold_01" / "datalist.json"
    _, table = checked(tmp_path / "list", datalist, participants=str(tiny_cohort / "participants.tsv"))
    assert len(table) == 24 and "sex" in table
    _, table = checked(tmp_path / "list", datalist)
    assert list(table.columns) == ["participant_id", "family_id", "fold"]


def test_a_folds_file_is_taken_as_it_is(tiny_cohort, tmp_path, stages):
    run(tmp_path / "one", tiny_cohort, fold=1, n_folds=4)
    run(tmp_path / "two", tiny_cohort, fold=1, seed=9, folds_file=str(tmp_path / "one" / "folds" / "folds.tsv"))
    one, two = ((tmp_path / name / "folds" / "folds.tsv").read_text() for name in ("one", "two"))
    assert one == two


def test_checking_alone_ends_with_status_1_and_the_list(cohort, tmp_path):
    shutil.copy(cohort / "sub-0001" / "sub-0001_FA.nii.gz", cohort / "sub-0009" / "sub-0009_FA.nii.gz")
    words = [
        sys.executable,
        "-m",
        "monai.bundle",
        "run",
        "checking_folds",
        "--config_file",
        "configs/cross_validate.yaml",
    ]
    words += ["--dataset_dir", str(cohort), "--output_dir", str(tmp_path / "output"), "--n_folds", "3"]
    done = subprocess.run(words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 1 and "Folds: 2 to fix." in done.stderr and "Traceback" not in done.stderr
    assert "sub-0001 FA" in done.stderr and "sub-0009 FA" in done.stderr
