import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from bundle.analysis.reconstruction import skill
from bundle.data.datalist import read_participants
from bundle.data.problems import InputProblems
from bundle.fold_run import FoldRun, fold_sections
from bundle.fold_settings import fold_settings
from bundle.stage_process import StageFailed
from bundle.stages.check_folds import check_folds
from bundle.stages.collect_folds import collect_folds, pooled_figures
from bundle.stages.cross_validate import cross_validate
from tests.conftest import PATTERNS, ROOT, TINY_NETWORK, root_cause, run_stage

MAPS = ["T1w", "JAC"]
SHARED = {"modalities": MAPS, "spatial_size": [32, 32, 24], "seed": 0, "num_workers": 1}


@pytest.fixture
def cohort(tiny_cohort, tmp_path):
    """A copy to break."""
    copy = tmp_path / "cohort"
    shutil.copytree(tiny_cohort, copy, ignore=shutil.ignore_patterns("truth"))
    return copy


def checked(output_dir, cohort, **options):
    settings = {"participants": None, "synthetic": {}, "n_folds": 3, "stratify": "usual", "folds_file": None, "seed": 0}
    return check_folds(str(output_dir), str(cohort), PATTERNS, MAPS, **(settings | options), progress=False)


def run(output_dir, cohort, training=None, seed=0, fold=None, **options):
    found = checked(output_dir, cohort, seed=seed, **options)
    cross_validate(
        str(output_dir), found, fold_settings(training, SHARED | {"seed": seed}), 0.2, seed, fold, progress=False
    )


class FakeStages:
    """Stands in for `run_stage`: writes what the stages would, without images, and notes what was called."""

    def __init__(self):
        self.calls, self.resumed, self.broken, self.interrupted = [], [], {}, {}

    def __call__(self, run_id, config_files, options, log_file, environment, stop):
        fold = log_file.parent.name
        self.calls.append((fold, run_id))
        if self.interrupted.pop((fold, run_id), False):
            raise StageFailed(f"Stage {run_id}", ["Interrupted"], stopped=True)
        if (fold, run_id) in self.broken:
            raise StageFailed(f"Stage {run_id}", [f"It failed; {log_file} ends with\n    {self.broken[fold, run_id]}"])
        if run_id == "training":
            self.resumed += [fold] if options.get("resume") else []
            self.write(log_file.parent / "2_training" / "checkpoint.pt", "weights")
        else:
            people = figures(json.loads((log_file.parent / "datalist.json").read_text())["test"])
            folder = log_file.parent / "3_evaluation"
            self.write(folder / "people.tsv", people.to_csv(sep="\t", index=False))
            self.write(folder / "summary.tsv", "modality\n")
        return 1.0

    def write(self, file, text):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def residuals(name, modality):
    """Made-up `(images, drawn, PCA's)` of a person, always the same."""
    rng = np.random.default_rng(sum(map(ord, name + modality)))
    images = rng.standard_normal(50) * rng.uniform(0.5, 2)
    return images, images + 0.3 * rng.standard_normal(50), images + 0.4 * rng.standard_normal(50)


def figures(items):
    rows = []
    for item in items:
        for modality in MAPS:
            images, drawn, pca = residuals(item["participant_id"], modality)
            error, pca_error = (np.square(images - other).sum() for other in (drawn, pca))
            rows.append(
                {"participant_id": item["participant_id"], "modality": modality, "squared_error": error,
                 "pca_squared_error": pca_error, "squared_residual": np.square(images).sum(), "mse_mask": error / 50,
                 "norm_diff": 0.1, "ssim": 0.9, "cnr_ratio": 1.1 if modality == "T1w" else np.nan,
                 "own_image_is_nearest": error < 5}
            )  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def stages(monkeypatch):
    fake = FakeStages()
    monkeypatch.setattr("bundle.fold_run.run_stage", fake)
    return fake


def all_calls(n_folds=3):
    return [(f"fold_{number:02d}", stage) for number in range(1, n_folds + 1) for stage in ("training", "evaluating")]


def test_every_fold_is_trained_without_its_people_and_their_relatives(tiny_cohort, tmp_path, stages):
    run(tmp_path, tiny_cohort)
    assert stages.calls == all_calls()
    held_out = []
    split = pd.read_csv(tmp_path / "folds" / "folds.tsv", sep="\t").set_index("participant_id")
    assert list(split.columns) == ["family_id", "fold", "sex"]
    for number in (1, 2, 3):
        sections = json.loads((tmp_path / "folds" / f"fold_0{number}" / "datalist.json").read_text())
        families = [{item["family_id"] for item in sections[name]} for name in ("training", "validation", "test")]
        assert all(families) and not families[0] & families[1] and not families[2] & (families[0] | families[1])
        assert sum(len(people) for people in sections.values()) == 24
        held_out += [item["participant_id"] for item in sections["test"]]
        assert (split.loc[[item["participant_id"] for item in sections["test"]], "fold"] == number).all()
    assert sorted(held_out) == sorted(split.index)


def test_pooled_skill_is_that_of_all_people_at_once(tiny_cohort, tmp_path, stages):
    run(tmp_path, tiny_cohort)
    summary = pd.read_csv(tmp_path / "8_cross_validation" / "summary.tsv", sep="\t").set_index("modality")
    names = list(read_participants(tiny_cohort)["participant_id"])
    for modality in MAPS:
        images, drawn, pca = (
            np.stack(parts)[:, None] for parts in zip(*(residuals(n, modality) for n in names), strict=True)
        )
        assert summary.loc[modality, "skill"] == pytest.approx(skill(images, drawn)[0], rel=1e-5)
        assert summary.loc[modality, "above_pca"] == pytest.approx(
            (skill(images, drawn) - skill(images, pca))[0], rel=1e-4
        )
        assert summary.loc[modality, "skill_low"] < summary.loc[modality, "skill"] < summary.loc[modality, "skill_high"]
        assert summary.loc[modality, "skill_lowest_fold"] <= summary.loc[modality, "skill"]
    assert (summary["n_people"] == 24).all() and np.isnan(summary.loc["JAC", "cnr_ratio"])
    per_fold = pd.read_csv(tmp_path / "8_cross_validation" / "per_fold.tsv", sep="\t")
    assert per_fold.groupby("modality")["n_people"].sum().eq(24).all() and set(per_fold["fold"]) == {1, 2, 3}


def test_codes_of_different_folds_are_never_brought_together(tiny_cohort, tmp_path, stages):
    run(tmp_path, tiny_cohort)
    written = {file.name for file in (tmp_path / "8_cross_validation").iterdir()}
    assert written == {"summary.tsv", "per_fold.tsv", "people.tsv", "summary.json", "folds.png"}
    assert (tmp_path / "8_cross_validation" / "folds.png").read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.rglob("*embedding*"))


def test_interrupted_and_given_again_no_fold_is_repeated_and_the_broken_one_resumes(
    tiny_cohort, tmp_path, stages, caplog
):
    stages.interrupted["fold_02", "evaluating"] = True
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, tiny_cohort)
    assert stopped.value.code == 130 and "1 of 3 folds finished" in caplog.text
    assert not (tmp_path / "8_cross_validation").exists()
    stages.calls.clear()
    run(tmp_path, tiny_cohort)
    assert stages.calls == [("fold_02", "evaluating"), ("fold_03", "training"), ("fold_03", "evaluating")]
    stages.calls.clear()
    run(tmp_path, tiny_cohort)
    assert stages.calls == []


def test_training_that_was_stopped_goes_on_from_its_checkpoint(tiny_cohort, tmp_path, stages):
    stages.broken["fold_01", "training"] = "disk full"
    stages.write(tmp_path / "kept.pt", "")
    with pytest.raises(InputProblems):
        run(tmp_path, tiny_cohort, fold=1)
    stages.write(tmp_path / "folds" / "fold_01" / "2_training" / "checkpoint.pt", "half")
    stages.broken.clear()
    run(tmp_path, tiny_cohort)
    assert stages.resumed == ["fold_01"]


def test_a_failing_fold_is_told_with_its_last_lines_and_the_others_go_on(tiny_cohort, tmp_path, stages, caplog):
    caplog.set_level("INFO")
    stages.broken["fold_02", "training"] = "NaN in person sub-0007"
    with pytest.raises(InputProblems) as caught:
        run(tmp_path, tiny_cohort)
    text = str(caught.value)
    assert (
        "Fold 2: Stage training" in text and "NaN in person sub-0007" in text and "give the same command again" in text
    )
    facts = json.loads((tmp_path / "8_cross_validation" / "summary.json").read_text())
    assert facts["missing"] == [2] and facts["headline"] == "Incomplete: 2 of 3 folds; missing: 2."
    assert "Incomplete: 2 of 3 folds; missing: 2." in caplog.text


def test_folds_as_jobs_of_their_own_collect_when_the_last_is_in(tiny_cohort, tmp_path, stages):
    run(tmp_path, tiny_cohort, fold=3)
    run(tmp_path, tiny_cohort, fold=[1])
    assert not (tmp_path / "8_cross_validation").exists()
    run(tmp_path, tiny_cohort, fold=2)
    assert [fold for fold, _ in stages.calls[::2]] == ["fold_03", "fold_01", "fold_02"]
    assert json.loads((tmp_path / "8_cross_validation" / "summary.json").read_text())["missing"] == []


@pytest.mark.parametrize("fold", [0, 4, "2", [1, 9]])
def test_folds_that_are_not_there_are_refused(tiny_cohort, tmp_path, stages, fold):
    with pytest.raises(InputProblems, match="expected a fold from 1 to 3"):
        run(tmp_path, tiny_cohort, fold=fold)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"max_epochs": 7}}, r"Fold 1 in .* was made with other settings \(max_epochs: 12 then, 7 now\)"),
        ({"seed": 1}, "Its folds were begun with another split, .*give --folds_file .*folds.tsv to go on"),
        ({"n_folds": 4}, "Its folds were begun with another split"),
    ],
)
def test_a_mixture_of_settings_or_splits_is_refused_before_anything_runs(
    tiny_cohort, tmp_path, stages, changes, message
):
    run(tmp_path, tiny_cohort, fold=1)
    stages.calls.clear()
    with pytest.raises(InputProblems, match=message):
        run(tmp_path, tiny_cohort, **changes)
    assert stages.calls == []


def test_collecting_refuses_folds_of_other_settings_or_people(tiny_cohort, tmp_path, stages):
    run(tmp_path, tiny_cohort)
    record = tmp_path / "folds" / "fold_02" / "fold.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps(content | {"made_with": content["made_with"] | {"batch_size": 99}}))
    with pytest.raises(
        InputProblems, match=r"Fold 2 was made with other settings than fold 1 .batch_size: 4 then, 99 now"
    ):
        collect_folds(str(tmp_path))
    record.write_text(json.dumps(content))
    people = tmp_path / "folds" / "fold_02" / "3_evaluation" / "people.tsv"
    table = pd.read_csv(people, sep="\t")
    table.iloc[4:].to_csv(people, sep="\t", index=False)
    with pytest.raises(
        InputProblems, match=r"fold_02 was evaluated on other people than folds.tsv says: 0 more and 2 less"
    ):
        collect_folds(str(tmp_path))
    table.drop(columns="squared_error").to_csv(people, sep="\t", index=False)
    with pytest.raises(InputProblems, match=r"people.tsv lacks squared_error: another version wrote it"):
        collect_folds(str(tmp_path))


def test_collecting_nothing_is_refused(tiny_cohort, tmp_path, stages):
    with pytest.raises(InputProblems, match=r"No .*folds.tsv: run cross_validating first"):
        collect_folds(str(tmp_path))
    with pytest.raises(InputProblems):
        stages.broken["fold_01", "training"] = "no"
        run(tmp_path, tiny_cohort, fold=1)
    with pytest.raises(InputProblems, match=r"No fold in .* is finished"):
        collect_folds(str(tmp_path))


def test_a_folds_file_is_taken_as_it_is(tiny_cohort, tmp_path, stages):
    run(tmp_path / "one", tiny_cohort, fold=1, n_folds=4)
    run(tmp_path / "two", tiny_cohort, fold=1, seed=9, folds_file=str(tmp_path / "one" / "folds" / "folds.tsv"))
    one, two = ((tmp_path / name / "folds" / "folds.tsv").read_text() for name in ("one", "two"))
    assert one == two


def test_a_run_that_nobody_recorded_is_left_alone(tiny_cohort, tmp_path, stages):
    stages.write(tmp_path / "folds" / "fold_01" / "2_training" / "checkpoint.pt", "whose?")
    with pytest.raises(InputProblems, match=r"holds a run without fold.json"):
        run(tmp_path, tiny_cohort)


def test_leakage_of_every_kind_is_listed_at_once(cohort, tmp_path):
    table = pd.read_csv(cohort / "participants.tsv", sep="\t", dtype=str, keep_default_na=False)
    pairs = table.groupby("family_id")["participant_id"].apply(list)
    first, second = next(members for members in pairs if len(members) > 1)[:2]
    lone = next(name for name in table["participant_id"] if name not in (first, second))
    folds = table[["participant_id"]].assign(fold=lambda frame: np.where(frame["participant_id"] == first, 2, 1))
    folds.to_csv(tmp_path / "mine.tsv", sep="\t", index=False)
    table["twin_id"] = np.where(table["participant_id"].isin([first, lone]), "pair", "n/a")
    table.to_csv(cohort / "participants.tsv", sep="\t", index=False)
    shutil.copy(cohort / second / f"{second}_T1w.nii.gz", cohort / lone / f"{lone}_T1w.nii.gz")
    with pytest.raises(InputProblems) as caught:
        checked(tmp_path / "output", cohort, folds_file=str(tmp_path / "mine.tsv"))
    text = str(caught.value)
    assert len(caught.value.problems) == 3
    assert f"is in fold 1 ({second}" in text and f"and fold 2 ({first})" in text
    assert f"{second} T1w (" in text and f"{lone} T1w (" in text and "are relatives by twin_id 'pair'" in text


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


def test_a_fold_without_families_left_to_validate_is_refused():
    items = [{"participant_id": f"s{n}", "family_id": f"f{n}"} for n in range(2)]
    with pytest.raises(InputProblems, match="The 1 families beside fold 1 cannot fill training and validation"):
        fold_sections(items, np.array([1, 2]), 1, 0.2, 0)


def test_a_fold_of_the_same_settings_is_no_problem_and_any_other_is(tmp_path, stages):
    items = [{"participant_id": f"s{n}", "family_id": f"f{n}", "T1w": "a"} for n in range(6)]
    folds = np.array([1, 1, 2, 2, 3, 3])
    one = FoldRun(1, tmp_path, fold_sections(items, folds, 1, 0.3, 0), fold_settings(None, SHARED))
    one.run({}, None)
    assert one.is_finished and one.problems() == []
    other = FoldRun(1, tmp_path, fold_sections(items, folds, 1, 0.3, 5), fold_settings(None, SHARED))
    assert "people: " in other.problems()[0]


def test_pooled_figures_are_means_over_people_and_ratios_of_sums():
    people = figures([{"participant_id": f"p{n}"} for n in range(12)]).assign(
        family_id=lambda table: table["participant_id"]
    )
    summary = pooled_figures(people, ["modality"]).set_index("modality")
    own = people[people["modality"] == "JAC"]
    assert summary.loc["JAC", "mse_mask"] == pytest.approx(own["mse_mask"].mean())
    assert summary.loc["JAC", "identifiability"] == pytest.approx(own["own_image_is_nearest"].mean())


def test_through_the_bundle_everything_is_wired(tiny_cohort, tmp_path, stages):
    options = {"dataset_dir": str(tiny_cohort), "modalities": MAPS, "spatial_size": [32, 32, 24], "n_folds": 2}
    run_stage(
        "cross_validating", tmp_path, **options, training={"max_epochs": 3}, stratify=["sex", "site"], progress=False
    )
    assert stages.calls == all_calls(2)
    overlay = json.loads((tmp_path / "folds" / "fold_01" / "overlay_training.json").read_text())
    assert overlay == {"progress": False, "modalities": MAPS, "spatial_size": [32, 32, 24], "seed": 0, "num_workers": 2,
                       "fusion": "concat", "max_epochs": 3}  # fmt: skip
    shutil.rmtree(tmp_path / "8_cross_validation")
    run_stage("collecting", tmp_path)
    assert (tmp_path / "8_cross_validation" / "summary.tsv").is_file()
    with pytest.raises(InputProblems, match="did you mean --max_epochs"):
        try:
            run_stage("cross_validating", tmp_path / "other", **options, training={"max_epoch": 3})
        except RuntimeError as error:
            raise root_cause(error) from None
    assert not (tmp_path / "other").exists()


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
    assert done.returncode == 1 and "Folds: 1 to mend." in done.stderr and "Traceback" not in done.stderr
    assert "sub-0001 FA" in done.stderr and "sub-0009 FA" in done.stderr


@pytest.mark.slow
def test_two_real_folds_end_to_end(tiny_cohort, tmp_path):
    training = {"network_def": TINY_NETWORK, "max_epochs": 1, "warmup_steps": 2, "amp": False}
    (tmp_path / "overlay.json").write_text(json.dumps(training))
    settings = fold_settings(str(tmp_path / "overlay.json"), SHARED)
    found = checked(tmp_path, tiny_cohort, n_folds=2)
    cross_validate(str(tmp_path), found, settings, 0.2, 0, progress=False)
    summary = pd.read_csv(tmp_path / "8_cross_validation" / "summary.tsv", sep="\t")
    assert (summary["n_people"] == 24).all() and np.isfinite(summary[["skill", "above_pca", "mse_mask"]]).all(axis=None)
    for number in (1, 2):
        folder = tmp_path / "folds" / f"fold_0{number}"
        own = pd.read_csv(folder / "3_evaluation" / "summary.tsv", sep="\t")
        per_fold = pd.read_csv(tmp_path / "8_cross_validation" / "per_fold.tsv", sep="\t").query("fold == @number")
        for figure in ("skill", "mse_mask", "norm_diff", "identifiability", "pca_skill"):
            assert np.allclose(own[figure], per_fold[figure], rtol=1e-3, atol=1e-5)
        assert np.allclose(own["above_pca_low"], per_fold["above_pca_low"], rtol=1e-3, atol=1e-5)
