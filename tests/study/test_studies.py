"""The runner and its tables, with stages that write known figures instead of training."""

import json
import os
import re
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import yaml
from monai.bundle import ConfigParser

from bundle.data.embedding_table import EmbeddingTable
from bundle.data.problems import InputProblems
from bundle.running.command_line import check_command_line
from bundle.stages.study import run_study
from bundle.study.plan import plan_runs
from bundle.study.results import true_factors
from bundle.study.seed_run import equal_time_epochs
from bundle.study.settings import read_study
from tests.conftest import ROOT

STUDY = {
    "name": "small",
    "question": "Which loss?",
    "options": {"modalities": ["FA", "JAC"], "max_epochs": 4},
    "runs": [{"name": "mse", "options": {"loss": "mse"}}, {"name": "l1", "options": {"loss": "l1"}}],
    "clustering": {"n_references": 9},
}
GRID = {
    "options": {"spatial_size": [32, 32, 24]},
    "arguments": {"configs/parts/network.yaml": {"embedding_size": 384, "n_components": 800, "width": 8, "n_units": 1}},
}
SHIPPED = sorted((ROOT / "configs" / "studies").glob("*.yaml"))


class FakeStages:
    """Writes what stages write, R² 0.5 for mse and 0.3 for l1 plus a tenth of the seed; notes who was called."""

    def __init__(self, cohort, break_at=None, error=KeyboardInterrupt):
        self.cohort, self.break_at, self.error = cohort, break_at, error
        self.calls = []

    def __call__(self, run_id, config_files, options, log_file):
        folder = options["output_dir"]
        name, seed = folder.parent.name, int(folder.name.removeprefix("seed_"))
        self.calls.append((run_id, name, seed, dict(options)))
        if self.break_at == (run_id, name, seed):
            self.break_at = None
            if run_id == "training":
                (folder / "2_training").mkdir(parents=True)
                (folder / "2_training" / "checkpoint.pt").touch()
            raise self.error
        getattr(self, run_id)(folder, name, seed, options)
        return 1.0

    def training(self, folder, name, seed, options):
        (folder / "2_training").mkdir(parents=True, exist_ok=True)
        epochs = np.arange(options["max_epochs"] + 1)
        steps = np.where(epochs > 0, 100.0 if name == "mse" else 25.0, np.nan)  # the untrained network took no step
        table = pd.DataFrame({"epoch": epochs, "step_ms": steps, "memory_gb": 1 + epochs / 10})
        table.to_csv(folder / "2_training" / "log.tsv", sep="\t", index=False)

    def evaluating(self, folder, name, seed, options):
        r2 = (0.5 if name == "mse" else 0.3) + seed / 10
        rows = [
            {"modality": "FA", "r2": r2 - 0.1, "r2_code_zeroed": 0.0, "r2_code_mean": 0.0},
            {"modality": "JAC", "r2": r2 + 0.1, "r2_code_zeroed": -0.2, "r2_code_mean": 0.1},
        ]
        table = pd.DataFrame(rows).assign(r2_code_swapped=-r2, identifiability=0.75)
        (folder / "3_evaluation").mkdir(exist_ok=True)
        table.to_csv(folder / "3_evaluation" / "summary.tsv", sep="\t", index=False)

    def embedding(self, folder, name, seed, options):
        truth = pd.read_csv(self.cohort / "truth" / "factors.tsv", sep="\t", index_col=0)
        names = truth.index.to_numpy().astype(str)
        codes = truth.filter(like="factor_").to_numpy(dtype=np.float32)
        present, uncertainties = np.ones((len(names), 2), bool), np.zeros((len(names), 0))
        table = EmbeddingTable(names, codes, np.ones(len(names)), "abc", ("FA", "JAC"), present, uncertainties)
        table.write_arrays(folder / "4_embeddings")

    def clustering(self, folder, name, seed, options):
        truth = pd.read_csv(self.cohort / "truth" / "factors.tsv", sep="\t").iloc[::-1]
        (folder / "5_clusters").mkdir(exist_ok=True)
        table = truth[["participant_id", "stratum"]] if name == "mse" else truth[["participant_id"]].assign(stratum=1)
        table.to_csv(folder / "5_clusters" / "strata.tsv", sep="\t", index=False)


@pytest.fixture
def stages(tiny_cohort):
    return FakeStages(tiny_cohort)


def carry_out(tmp_path, stages, study=STUDY, **changes):
    options = {"dataset_dir": str(stages.cohort), "seeds": [0, 1], "runner": stages}
    return run_study(str(tmp_path), study, GRID, **(options | changes))


def test_table_holds_the_known_means_and_intervals(tmp_path, stages):
    table = carry_out(tmp_path, stages).set_index("run")
    half = 12.7062 * np.std([0.5, 0.6], ddof=1) / np.sqrt(2)  # t of one degree of freedom
    assert table.loc["mse", "r2"] == pytest.approx(0.55)
    assert table.loc["mse", ["r2_low", "r2_high"]].tolist() == pytest.approx([0.55 - half, 0.55 + half], rel=1e-4)
    assert table.loc["l1", "r2_FA"] == pytest.approx(0.25)
    assert table.loc["mse", "lost_code_zeroed"] == pytest.approx(0.65)
    assert table.loc["mse", "lost_code_swapped"] == pytest.approx(1.1)
    assert table.loc["mse", ["step_ms", "memory_gb", "epochs"]].tolist() == pytest.approx([100, 1.4, 4])
    assert (
        table.loc["mse", "embedding_size"] == 6 and table.loc["mse", "parameters"] == table.loc["l1", "parameters"] > 0
    )
    assert table.loc["mse", "factors_r"] > 0.99
    assert table.loc["mse", ["ari", "strata"]].tolist() == [1, 4] and table.loc["l1", ["ari", "strata"]].tolist() == [
        0,
        1,
    ]


def test_files_hold_what_is_returned_and_the_page_shows_it(tmp_path, stages):
    table = carry_out(tmp_path, stages)
    folder = tmp_path / "studies" / "small"
    read = pd.read_csv(folder / "table.tsv", sep="\t")
    pd.testing.assert_frame_equal(read, table, check_dtype=False, rtol=1e-4)
    assert len(pd.read_csv(folder / "runs.tsv", sep="\t")) == 4
    page = (folder / "study.md").read_text()
    assert page.startswith("Which loss?") and "| mse |" in page and "0.550 (-0.085 to 1.185)" in page
    assert (folder / "study.png").stat().st_size > 5000


def test_one_seed_has_a_dash_for_an_interval_and_says_so(tmp_path, stages):
    carry_out(tmp_path, stages, seeds=[0])
    page = (tmp_path / "studies" / "small" / "study.md").read_text()
    assert "0.500 (-)" in page and "one seed, so nothing is known" in page and "t intervals" not in page


def test_every_run_gets_the_stages_in_order_with_the_options_each_knows(tmp_path, stages):
    carry_out(tmp_path, stages, seeds=[3])
    first = stages.calls[:4]
    assert [call[0] for call in first] == ["training", "evaluating", "embedding", "clustering"]
    training, evaluating, embedding, clustering = (call[3] for call in first)
    assert training["loss"] == "mse" and training["seed"] == 3 and "resume" not in training
    assert training["dataset_dir"] == embedding["dataset_dir"] == stages.cohort
    assert "loss" not in evaluating and evaluating["modalities"] == embedding["modalities"] == ["FA", "JAC"]
    assert clustering["n_references"] == 9 and "modalities" not in clustering
    part = training["network_def"].removeprefix("%")
    assert ConfigParser.load_config_file(part)["width"] == 8
    for (run_id, *_), options in zip(first, (training, evaluating, embedding, clustering), strict=True):
        config = {"training": "train", "evaluating": "evaluate", "embedding": "inference", "clustering": "cluster"}[
            run_id
        ]
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        check_command_line(["run", run_id, "--config_file", f"configs/{config}.yaml", *words])


def test_finished_runs_are_not_repeated(tmp_path, stages):
    carry_out(tmp_path, stages)
    stages.calls.clear()
    table = carry_out(tmp_path, stages)
    assert stages.calls == [] and len(table) == 2


def test_new_seeds_are_added_to_those_that_are_there(tmp_path, stages):
    carry_out(tmp_path, stages, seeds=[0])
    stages.calls.clear()
    carry_out(tmp_path, stages, seeds=[0, 1])
    assert {call[2] for call in stages.calls} == {1}


def test_tables_hold_seeds_of_earlier_calls_that_were_made_with_the_same(tmp_path, stages):
    whole = carry_out(tmp_path, stages, seeds=[0, 1, 2])
    folder = tmp_path / "studies" / "small"
    record = folder / "l1" / "seed_2" / "made_with.json"
    record.write_text(record.read_text().replace('"max_epochs": 4', '"max_epochs": 5'))
    (folder / "mse" / "seed_of_my_own").mkdir()
    table = carry_out(tmp_path, stages, seeds=[1])
    rows = pd.read_csv(folder / "runs.tsv", sep="\t")
    assert rows[["run", "seed"]].values.tolist() == [["mse", 0], ["mse", 1], ["mse", 2], ["l1", 0], ["l1", 1]]
    assert table["seeds"].tolist() == [3, 2] and "Seeds: 0, 1, 2." in (folder / "study.md").read_text()
    pd.testing.assert_series_equal(table.loc[0], whole.loc[0])


def test_ids_that_pandas_takes_for_missing_are_ids(tmp_path):
    (tmp_path / "truth").mkdir()
    (tmp_path / "participants.tsv").write_text("participant_id\nsub-1\nNone\n")
    (tmp_path / "truth" / "factors.tsv").write_text("participant_id\tfactor_1\nsub-1\t1\nNone\t2\n")
    factors, families = true_factors(tmp_path, np.array(["None", "sub-1"]))
    assert factors.tolist() == [[2], [1]] and len(set(families)) == 2


def test_an_interrupted_study_goes_on_where_it_was(tmp_path, stages):
    stages.break_at = ("training", "l1", 0)
    with pytest.raises(SystemExit) as stopped:
        carry_out(tmp_path, stages)
    assert stopped.value.code == 130
    stages.calls.clear()
    carry_out(tmp_path, stages)
    assert ("mse", 0) not in {call[1:3] for call in stages.calls}
    run_id, name, seed, options = stages.calls[0]
    assert (run_id, name, seed, options["resume"]) == ("training", "l1", 0, True)
    assert "resume" not in stages.calls[4][3]


def test_a_run_broken_off_after_training_does_not_train_again(tmp_path, stages):
    stages.break_at = ("embedding", "mse", 0)
    with pytest.raises(SystemExit):
        carry_out(tmp_path, stages)
    stages.calls.clear()
    carry_out(tmp_path, stages)
    assert stages.calls[0][:3] == ("embedding", "mse", 0)


def test_one_failing_run_does_not_stop_the_others_and_is_told_at_the_end(tmp_path, stages):
    stages.break_at, stages.error = ("evaluating", "mse", 0), InputProblems("Stage evaluating", ["It failed."])
    with pytest.raises(InputProblems, match="mse, seed 0: It failed"):
        carry_out(tmp_path, stages)
    rows = pd.read_csv(tmp_path / "studies" / "small" / "runs.tsv", sep="\t")
    assert len(rows) == 3 and ("mse", 0) not in set(zip(rows["run"], rows["seed"], strict=True))


def test_the_same_name_with_other_settings_is_refused_and_left_alone(tmp_path, stages):
    carry_out(tmp_path, stages)
    before = (tmp_path / "studies" / "small" / "table.tsv").read_bytes()
    stages.calls.clear()
    other = STUDY | {"options": STUDY["options"] | {"max_epochs": 9}}
    with pytest.raises(
        InputProblems, match=r"options::max_epochs: 4 then, 9 now.*move it away, or rename the run"
    ) as caught:
        carry_out(tmp_path, stages, study=other)
    assert len(caught.value.problems) == 4 and stages.calls == []
    assert (tmp_path / "studies" / "small" / "table.tsv").read_bytes() == before


def test_only_some_runs_are_carried_out(tmp_path, stages):
    table = carry_out(tmp_path, stages, only=["l1"])
    assert {call[1] for call in stages.calls} == {"l1"} and table["run"].tolist() == ["l1"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"only": ["mss"]}, "--only: unknown mss: did you mean mse"),
        ({"only": "l1"}, "--only: expected a list"),
        ({"only": []}, "--only: expected a list"),
        ({"seeds": []}, "--seeds: expected a list"),
        ({"seeds": [1, 1]}, "--seeds: expected a list of different"),
        ({"seeds": 3}, "--seeds: expected a list"),
        ({"dataset_dir": "nowhere"}, "is no folder"),
    ],
)
def test_choices_that_make_no_sense_are_refused_before_anything_runs(tmp_path, stages, changes, message):
    with pytest.raises(InputProblems, match=message):
        carry_out(tmp_path, stages, **changes)
    assert stages.calls == [] and not (tmp_path / "studies").exists()


def test_a_default_of_training_that_changed_is_refused(tmp_path, stages, monkeypatch):
    carry_out(tmp_path, stages, seeds=[0])
    record = tmp_path / "studies" / "small" / "mse" / "seed_0" / "made_with.json"
    training = json.loads(record.read_text())["made_with"]["training"]
    assert training["loss"] == "mse" and training["max_epochs"] == 4 and "batch_size" in training
    assert not {"output_dir", "num_workers", "dataset_dir"} & set(training)
    changed = {**training, "batch_size": 99}
    monkeypatch.setattr("bundle.study.seed_run.training_settings", lambda options: changed)
    stages.calls.clear()
    with pytest.raises(InputProblems, match=r"training::batch_size: \d+ then, 99 now"):
        carry_out(tmp_path, stages, seeds=[0])
    assert stages.calls == []


def test_a_cohort_named_in_another_way_is_the_same_cohort(tmp_path, stages):
    carry_out(tmp_path, stages, seeds=[0])
    stages.calls.clear()
    carry_out(tmp_path, stages, seeds=[0], dataset_dir=os.path.relpath(stages.cohort))
    assert stages.calls == []


def test_a_run_without_all_knobs_on_record_goes_on(tmp_path, stages):
    carry_out(tmp_path, stages, seeds=[0])
    record = tmp_path / "studies" / "small" / "mse" / "seed_0" / "made_with.json"
    content = json.loads(record.read_text())
    del content["made_with"]["training"]
    record.write_text(json.dumps(content))
    stages.calls.clear()
    carry_out(tmp_path, stages, seeds=[0])
    assert stages.calls == []


TIMED = STUDY | {"runs": [*STUDY["runs"], {"name": "l1_same_time", "same_as": "l1", "time_of": "mse"}]}


def test_equal_time_gives_as_many_epochs_as_fit(tmp_path, stages):
    table = carry_out(tmp_path, stages, study=TIMED, seeds=[0]).set_index("run")
    assert table.loc["l1_same_time", "epochs"] == 16  # 4 epochs of 100 ms steps against 25 ms


def test_epochs_under_equal_time_are_kept_when_a_run_goes_on(tmp_path, stages):
    stages.break_at = ("training", "l1_same_time", 0)
    with pytest.raises(SystemExit):
        carry_out(tmp_path, stages, study=TIMED, seeds=[0])
    record = tmp_path / "studies" / "small" / "l1_same_time" / "seed_0" / "made_with.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"max_epochs": 11}))
    carry_out(tmp_path, stages, study=TIMED, seeds=[0])
    assert stages.calls[-4][3]["max_epochs"] == 11


def test_equal_time_without_the_runs_that_set_it_is_refused(tmp_path, stages):
    with pytest.raises(InputProblems, match="needs mse, seed 0, which is neither finished nor chosen"):
        carry_out(tmp_path, stages, study=TIMED, seeds=[0], only=["l1", "l1_same_time"])
    assert stages.calls == []


def test_equal_time_of_a_run_that_was_made_anew_with_something_else_is_refused(tmp_path, stages):
    carry_out(tmp_path, stages, study=TIMED, seeds=[0])
    shutil.rmtree(tmp_path / "studies" / "small" / "mse")
    longer = [STUDY["runs"][0] | {"options": {"loss": "mse", "max_epochs": 2}}, *TIMED["runs"][1:]]
    with pytest.raises(InputProblems, match=r"l1_same_time, seed 0: .*reference::options::max_epochs: 4 then, 2 now"):
        carry_out(tmp_path, stages, study=TIMED | {"runs": longer}, seeds=[0])


@pytest.mark.parametrize(
    ("gone", "again"),
    [
        ("3_evaluation/summary.tsv", ["evaluating", "embedding", "clustering"]),
        ("5_clusters/strata.tsv", ["clustering"]),
    ],
)
def test_stages_whose_output_was_deleted_run_again(tmp_path, stages, gone, again):
    before = carry_out(tmp_path, stages, seeds=[0])
    (tmp_path / "studies" / "small" / "l1" / "seed_0" / gone).unlink()
    stages.calls.clear()
    pd.testing.assert_frame_equal(carry_out(tmp_path, stages, seeds=[0]), before)
    assert [(call[0], call[1]) for call in stages.calls] == [(stage, "l1") for stage in again]


def test_two_processes_do_not_run_one_thing_twice(tmp_path, stages):
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: carry_out(tmp_path, stages, seeds=[0]), range(2)))
    assert sorted(call[:2] for call in stages.calls) == sorted(
        (stage, run) for stage in ("training", "evaluating", "embedding", "clustering") for run in ("mse", "l1")
    )


def test_a_kill_stops_the_stage_that_runs(tmp_path, stages):
    stages.training = lambda *_: signal.raise_signal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        carry_out(tmp_path, stages, seeds=[0])
    assert caught.value.code == 130


def test_equal_time_is_at_least_one_epoch():
    slow, fast = (pd.DataFrame({"step_ms": [value] * 4}) for value in (100, 1))
    assert equal_time_epochs(slow, fast) == 400 and equal_time_epochs(fast, slow) == 1


def test_people_without_a_truth_get_no_figures_of_it(tmp_path, stages, monkeypatch):
    monkeypatch.setattr("bundle.study.results.TRUTH", "nowhere")
    table = carry_out(tmp_path, stages)
    assert "factors_r" not in table and "ari" not in table and "strata" in table


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_every_study_of_ours_can_run(file):
    check_command_line(["run", "studying", "--config_file", str(file)])
    parser = ConfigParser()
    parser.read_config(file)
    parser.parse()
    study, grid = parser.get("study"), parser.get("grid")
    settings, runs = read_study(study, grid)
    planned, problems = plan_runs(settings, runs, grid["arguments"])
    assert problems == [] and len(planned) == len(runs)
    assert settings.name == file.stem
    if file.stem != "embedding_size":
        assert all(run.network["_target_"].startswith("custom_nets.") for run in planned)
    header = file.read_text().split("output_dir:")[0]
    assert f"configs/studies/{file.name}" in header and re.search(r"cost +\d+ minutes", header) and "source" in header


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
@pytest.mark.parametrize("grid", ["grid_32", pytest.param("grid_64", marks=pytest.mark.slow)])
def test_codes_keep_1536_values_on_either_grid(file, grid):
    content = yaml.safe_load((ROOT / "configs" / "parts" / f"{grid}.yaml").read_text())
    settings, runs = read_study(ConfigParser.load_config_file(file)["study"], content)
    for run in plan_runs(settings, runs[:1] if file.stem != "embedding_size" else runs, content["arguments"])[0]:
        assert run.embedding_size == (int(run.name.removeprefix("values_")) if file.stem == "embedding_size" else 1536)


@pytest.mark.slow
def test_a_tiny_study_runs_from_end_to_end(tiny_cohort, tmp_path):
    study = STUDY | {"options": {"modalities": ["JAC"], "max_epochs": 1, "warmup_steps": 1, "num_workers": 1}}
    study["clustering"] = None
    table = run_study(str(tmp_path), study, GRID, dataset_dir=str(tiny_cohort))
    assert table["run"].tolist() == ["mse", "l1"] and np.isfinite(table["r2"]).all()
    assert (table["step_ms"] > 0).all() and (table["memory_gb"] > 0.1).all()


def test_people_added_to_a_cohort_of_ones_own_make_it_another(tmp_path, stages, tiny_cohort):
    cohort = tmp_path / "cohort"
    shutil.copytree(tiny_cohort, cohort)
    carry_out(tmp_path, stages, seeds=[0], dataset_dir=str(cohort))
    stages.calls.clear()
    shutil.copytree(cohort / "sub-0001", cohort / "sub-9999")
    with pytest.raises(InputProblems, match=r"cohort::files: \w+ then, \w+ now"):
        carry_out(tmp_path, stages, seeds=[0], dataset_dir=str(cohort))
    assert stages.calls == []


def test_no_time_is_taken_from_a_training_that_did_not_come_to_its_end(tmp_path, stages):
    stages.break_at, stages.error = ("training", "mse", 0), InputProblems("Training", ["out of memory."])
    with pytest.raises(InputProblems) as caught:
        carry_out(tmp_path, stages, study=TIMED, seeds=[0])
    assert "whose training has not come to its end" in str(caught.value) and "out of memory" in str(caught.value)
    assert ("clustering", "l1") in {call[:2] for call in stages.calls}
    carry_out(tmp_path, stages, study=TIMED, seeds=[0])
    assert {call[3]["max_epochs"] for call in stages.calls if call[:2] == ("training", "l1_same_time")} == {16}


def test_links_to_nothing_in_a_cohort_of_ones_own_are_named(tmp_path, stages, tiny_cohort):
    cohort = tmp_path / "cohort"
    shutil.copytree(tiny_cohort, cohort)
    (cohort / "sub-0001" / "new_T1w.nii.gz").symlink_to(tmp_path / "annex" / "gone")
    with pytest.raises(InputProblems, match=r"new_T1w\.nii\.gz is a link to nothing"):
        carry_out(tmp_path, stages, seeds=[0], dataset_dir=str(cohort))
