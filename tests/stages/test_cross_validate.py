import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bundle.data.problems import InputProblems
from bundle.folds.run import FoldRun, fold_sections
from bundle.folds.settings import fold_settings
from bundle.stages.collect_folds import collect_folds
from bundle.stages.cross_validate import cross_validate
from tests.conftest import TINY_NETWORK, root_cause, run_stage
from tests.stages.fake_folds import MAPS, SHARED, all_calls, checked, run


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


def test_two_processes_do_not_run_a_fold_twice(tiny_cohort, tmp_path, stages):
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: run(tmp_path, tiny_cohort), range(2)))
    assert sorted(stages.calls) == sorted(all_calls())


def test_people_who_lack_a_map_are_in_folds_but_not_evaluated(tiny_cohort, tmp_path, stages):
    cohort, output = tmp_path / "cohort", tmp_path / "output"
    shutil.copytree(tiny_cohort, cohort, ignore=shutil.ignore_patterns("truth"))
    for number in (2, 9):
        (cohort / f"sub-{number:04d}" / f"sub-{number:04d}_JAC.nii.gz").unlink()
    run(output, cohort)
    facts = json.loads((output / "8_cross_validation" / "summary.json").read_text())
    assert (facts["n_people"], facts["n_people_in_all"], facts["n_people_who_lack_a_map"]) == (22, 24, 2)
    assert facts["headline"] == "All 3 folds are in. 2 participants who lack a map were trained on, but not evaluated."
    people = output / "folds" / "fold_01" / "3_evaluation" / "people.tsv"
    table = pd.read_csv(people, sep="\t")
    table[table["participant_id"] != table["participant_id"].iloc[0]].to_csv(people, sep="\t", index=False)
    with pytest.raises(InputProblems, match="0 more and 1 less"):
        collect_folds(str(output))


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
    stages.broken["fold_02", "training"] = "NaN in participant sub-0007"
    with pytest.raises(InputProblems) as caught:
        run(tmp_path, tiny_cohort)
    text = str(caught.value)
    assert (
        "Fold 2: Stage training" in text
        and "NaN in participant sub-0007" in text
        and "give the same command again" in text
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
        ({"training": {"max_epochs": 7}}, r"Fold 1 in .* was made with other settings \(max_epochs: 10 then, 7 now\)"),
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


def test_the_same_people_with_other_images_are_refused_and_a_moved_folder_is_not(cohort, tmp_path, stages):
    run(tmp_path, cohort, fold=1)
    moved = cohort.rename(tmp_path / "moved")
    run(tmp_path, moved, fold=2)
    image = sorted(moved.glob("*/*_JAC.nii.gz"))[0]
    loaded = nib.load(image)
    nib.save(nib.Nifti1Image(loaded.get_fdata(dtype=np.float32) + 0.1, loaded.affine), image)
    stages.calls.clear()
    with pytest.raises(
        InputProblems, match=r"Fold 1 in .* was made with other settings \(images_hash: .* then, .* now\)"
    ):
        run(tmp_path, moved, fold=3)
    assert stages.calls == []


def test_a_fold_without_a_hash_of_its_images_goes_on(tiny_cohort, tmp_path, stages):
    run(tmp_path, tiny_cohort, fold=1)
    file = tmp_path / "folds" / "fold_01" / "fold.json"
    record = json.loads(file.read_text())
    del record["made_with"]["images_hash"]
    file.write_text(json.dumps(record))
    run(tmp_path, tiny_cohort)
    assert stages.calls == all_calls()


def test_evaluation_broken_off_after_its_first_table_is_repeated(tiny_cohort, tmp_path, stages):
    run(tmp_path, tiny_cohort, fold=1)
    file = tmp_path / "folds" / "fold_01" / "fold.json"
    record = json.loads(file.read_text())
    del record["seconds"]["evaluating"]
    file.write_text(json.dumps(record))
    stages.calls.clear()
    run(tmp_path, tiny_cohort, fold=1)
    assert stages.calls == [("fold_01", "evaluating")]


@pytest.mark.parametrize(
    ("deleted", "repeated"),
    [(["3_evaluation"], ["evaluating"]), (["2_training", "3_evaluation"], ["training", "evaluating"])],
)
def test_what_was_deleted_is_made_again(tiny_cohort, tmp_path, stages, deleted, repeated):
    run(tmp_path, tiny_cohort, fold=1)
    for name in deleted:
        shutil.rmtree(tmp_path / "folds" / "fold_01" / name)
    stages.calls.clear()
    run(tmp_path, tiny_cohort, fold=1)
    assert stages.calls == [("fold_01", name) for name in repeated]


def test_a_run_that_nobody_recorded_is_left_alone(tiny_cohort, tmp_path, stages):
    stages.write(tmp_path / "folds" / "fold_01" / "2_training" / "checkpoint.pt", "whose?")
    with pytest.raises(InputProblems, match=r"holds a run without fold.json"):
        run(tmp_path, tiny_cohort)


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


def test_through_the_bundle_everything_is_wired(tiny_cohort, tmp_path, stages):
    options = {"dataset_dir": str(tiny_cohort), "modalities": MAPS, "spatial_size": [32, 32, 24], "n_folds": 2}
    run_stage(
        "cross_validating", tmp_path, **options, training={"max_epochs": 3}, stratify=["sex", "site"], progress=False
    )
    assert stages.calls == all_calls(2)
    overlay = json.loads((tmp_path / "folds" / "fold_01" / "overlay_training.json").read_text())
    assert overlay == {"progress": False, "modalities": MAPS, "spatial_size": [32, 32, 24], "seed": 0, "num_workers": 2,
                       "max_epochs": 3}  # fmt: skip
    shutil.rmtree(tmp_path / "8_cross_validation")
    run_stage("collecting", tmp_path)
    assert (tmp_path / "8_cross_validation" / "summary.tsv").is_file()
    with pytest.raises(InputProblems, match="did you mean --max_epochs"):
        try:
            run_stage("cross_validating", tmp_path / "other", **options, training={"max_epoch": 3})
        except RuntimeError as error:
            raise root_cause(error) from None
    assert not (tmp_path / "other").exists()


def two_real_folds(cohort, output_dir, devices=None):
    training = {"network_def": TINY_NETWORK, "max_epochs": 1, "warmup_steps": 2, "amp": False}
    output_dir.mkdir()
    (output_dir / "overlay.json").write_text(json.dumps(training))
    settings = fold_settings(str(output_dir / "overlay.json"), SHARED)
    cross_validate(
        str(output_dir), checked(output_dir, cohort, n_folds=2), settings, 0.2, 0, devices=devices, progress=False
    )
    return output_dir


@pytest.mark.slow
def test_two_real_folds_end_to_end(tiny_cohort, tmp_path):
    folder = two_real_folds(tiny_cohort, tmp_path / "output")
    summary = pd.read_csv(folder / "8_cross_validation" / "summary.tsv", sep="\t")
    assert (summary["n_people"] == 24).all() and np.isfinite(summary[["r2", "above_pca", "mse_mask"]]).all(axis=None)
    for number in (1, 2):
        own = pd.read_csv(folder / "folds" / f"fold_0{number}" / "3_evaluation" / "summary.tsv", sep="\t")
        per_fold = pd.read_csv(folder / "8_cross_validation" / "per_fold.tsv", sep="\t").query("fold == @number")
        for figure in ("r2", "mse_mask", "norm_diff", "identifiability", "pca_r2"):
            assert np.allclose(own[figure], per_fold[figure], rtol=1e-3, atol=1e-5)
        assert own["above_pca_low"].isna().all() and per_fold["above_pca_low"].isna().all()  # six families a fold


@pytest.mark.slow
def test_real_folds_side_by_side_give_what_they_give_one_after_another(tiny_cohort, tmp_path):
    """Without GPUs both devices are the CPU, but the processes, their folders and their logs are real."""
    tables = [
        pd.read_csv(
            two_real_folds(tiny_cohort, tmp_path / name, devices) / "8_cross_validation" / "people.tsv", sep="\t"
        )
        for name, devices in (("in_turn", None), ("side_by_side", [0, 1]))
    ]
    pd.testing.assert_frame_equal(*tables)
    folders = [tmp_path / "side_by_side" / "folds" / f"fold_0{number}" for number in (1, 2)]
    begun = [(folder / "datalist.json").stat().st_mtime for folder in folders]
    ended = [(folder / "evaluating.log").stat().st_mtime for folder in folders]
    assert max(begun) < min(ended)
