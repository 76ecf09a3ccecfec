import json
import shutil

import pandas as pd
import pytest
import torch
from ignite.engine import Events
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bundle.data.problems import InputProblems
from tests.conftest import PATTERNS, TINY_NETWORK, causes, root_cause, run_stage, train

MODALITIES = ("T1w", "FA", "NDI", "JAC")


class InterruptAt:
    """A handler that breaks a run off in the middle of an epoch, as Ctrl-C or a crash would."""

    def __init__(self, epoch, error=KeyboardInterrupt):
        self.epoch, self.error = epoch, error

    def attach(self, engine):
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine):
        if engine.state.epoch == self.epoch:
            raise self.error


def interrupt_at(epoch):
    return {"+train::handlers": [{"_target_": "tests.stages.test_train.InterruptAt", "epoch": epoch}]}


def log(output_dir):
    return pd.read_csv(output_dir / "2_training" / "log.tsv", sep="\t")


def test_training_beats_the_mean_image_for_every_modality(trained):
    best = log(trained).sort_values("r2").iloc[-1]
    for modality in MODALITIES:
        assert best[f"r2_{modality}"] > 0


def test_log_says_what_a_step_and_the_process_cost(trained):
    untrained, table = log(trained).iloc[0], log(trained).iloc[1:]
    assert untrained["epoch"] == 0 and untrained[["loss", "learning_rate", "seconds", "step_ms"]].isna().all()
    assert untrained.filter(like="r2").notna().all() and untrained["memory_gb"] <= table["memory_gb"].iloc[0]
    assert (table["step_ms"] > 0).all() and (table["step_ms"] < 1000 * table["seconds"]).all()
    assert table["memory_gb"].is_monotonic_increasing and 0.1 < table["memory_gb"].iloc[0] < 100


def test_training_writes_weights_logs_and_pictures(trained):
    folder = trained / "2_training"
    for name in ("model.pt", "checkpoint.pt", "log.tsv", "learning_curve.png", "reconstruction.png"):
        assert (folder / name).stat().st_size > 0
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert {"loss", "r2", "r2_FA"} <= set(events.Tags()["scalars"])
    assert not list(folder.glob(".*"))


def test_released_weights_are_plain_cpu_tensors_with_the_scaling(trained):
    state = torch.load(trained / "2_training" / "model.pt", weights_only=True)
    assert all(value.device.type == "cpu" for value in state.values())
    assert int(state["scaling.n_fitted"]) > 10


def test_end_of_training_says_what_was_written_and_what_is_next(tiny_cohort, tmp_path, capsys, caplog):
    train(tiny_cohort, tmp_path, max_epochs=1)
    said = caplog.text + capsys.readouterr().out
    assert "model.pt" in said and "run evaluating --config_file configs/evaluate.yaml" in said


def test_resumed_training_is_the_uninterrupted_one(tiny_cohort, tmp_path):
    train(tiny_cohort, tmp_path / "whole")
    with pytest.raises(SystemExit) as stopped:
        train(tiny_cohort, tmp_path / "broken", overlay=interrupt_at(epoch=3))
    assert stopped.value.code == 130
    assert log(tmp_path / "broken")["epoch"].tolist() == [0, 1, 2]
    train(tiny_cohort, tmp_path / "broken", resume=True)
    whole, resumed = log(tmp_path / "whole"), log(tmp_path / "broken")
    kept = [name for name in whole if name not in ("seconds", "step_ms", "memory_gb", "cuda_memory_gb")]
    if torch.cuda.is_available():  # sums are taken in another order each time
        pd.testing.assert_frame_equal(whole[kept], resumed[kept], check_exact=False, rtol=0.05, atol=0.05)
        return
    pd.testing.assert_frame_equal(whole[kept], resumed[kept])
    states = [
        torch.load(tmp_path / name / "2_training" / "model.pt", weights_only=True) for name in ("whole", "broken")
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_after_the_first_interrupted_epoch_training_goes_on_from_the_untrained_network(tiny_cohort, tmp_path):
    with pytest.raises(SystemExit):
        train(tiny_cohort, tmp_path, overlay=interrupt_at(epoch=1))
    checkpoint = torch.load(tmp_path / "2_training" / "checkpoint.pt", weights_only=True)
    assert checkpoint["epoch"] == 0 and log(tmp_path)["epoch"].tolist() == [0]
    assert not list((tmp_path / "2_training").glob(".*"))
    train(tiny_cohort, tmp_path, resume=True)
    assert log(tmp_path)["epoch"].tolist() == [0, 1, 2, 3, 4]


def test_folder_with_another_run_is_refused_and_left_alone(trained, tiny_cohort):
    before = (trained / "2_training" / "checkpoint.pt").read_bytes()
    with pytest.raises(InputProblems, match="--resume True, or choose another --output_dir"):
        try:
            train(tiny_cohort, trained)
        except RuntimeError as error:
            raise root_cause(error) from None
    assert (trained / "2_training" / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.1}, "learning_rate: 0.01 then, 0.1 now"),
        ({"network_def": TINY_NETWORK | {"embedding_size": 96}}, "does not fit"),
    ],
)
def test_resuming_with_something_else_is_refused(trained, tiny_cohort, tmp_path, changes, message):
    shutil.copytree(trained, tmp_path / "copy")
    with pytest.raises(InputProblems, match=message):
        try:
            train(tiny_cohort, tmp_path / "copy", resume=True, **({"max_epochs": 12} | changes))
        except RuntimeError as error:
            raise root_cause(error) from None


def test_resuming_on_another_cohort_is_refused_before_anything_is_drawn(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "copy")
    with pytest.raises(InputProblems, match="trained on"):
        try:
            train(tmp_path / "copy" / "1_prepared" / "cohort", tmp_path / "copy", resume=True, max_epochs=12)
        except RuntimeError as error:
            raise root_cause(error) from None
    assert not (tmp_path / "copy" / "1_prepared" / "cohort").exists()


def test_resuming_nothing_is_refused(tiny_cohort, tmp_path):
    with pytest.raises(InputProblems, match=r"there is no .*checkpoint.pt"):
        try:
            train(tiny_cohort, tmp_path, resume=True)
        except RuntimeError as error:
            raise root_cause(error) from None


def test_full_disk_keeps_the_checkpoint_before(tiny_cohort, tmp_path, monkeypatch):
    save, calls = torch.save, []

    def until_full(state, file):
        calls.append(file)
        if len(calls) > 2:  # model.pt and checkpoint.pt of the untrained network fit
            file.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(state, file)

    monkeypatch.setattr(torch, "save", until_full)
    with pytest.raises(OSError, match="make room and go on with --resume True"):
        try:
            train(tiny_cohort, tmp_path)
        except RuntimeError as error:
            raise next(cause for cause in causes(error) if isinstance(cause, OSError)) from None
    folder = tmp_path / "2_training"
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["epoch"] == 0
    assert not list(folder.glob(".*"))


def test_broken_cohort_stops_before_the_first_epoch_with_everything_said(tiny_cohort, tmp_path):
    cohort = tmp_path / "cohort"
    shutil.copytree(tiny_cohort, cohort, ignore=shutil.ignore_patterns("truth"))
    for name in ("sub-0002", "sub-0005"):
        file = cohort / name / f"{name}_FA.nii.gz"
        file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(InputProblems) as caught:
        try:
            train(cohort, tmp_path / "output")
        except RuntimeError as error:
            raise root_cause(error) from None
    assert len(caught.value.problems) == 2
    assert not (tmp_path / "output" / "2_training").exists()


@pytest.mark.parametrize("is_datalist", [False, True])
def test_relatives_in_several_families_stop_training(cohort, tmp_path, is_datalist):
    table = pd.read_csv(cohort / "participants.tsv", sep="\t")
    mothers = [f"m{number // 2}" for number in range(len(table))]
    table.assign(mother_id=mothers, family_id=table["participant_id"]).to_csv(
        cohort / "participants.tsv", sep="\t", index=False
    )
    source = cohort
    if is_datalist:
        people = [
            {"participant_id": name, **{m: PATTERNS[m].format(participant_id=name) for m in MODALITIES}}
            for name in table["participant_id"]
        ]
        source = cohort / "cohort.json"
        source.write_text(json.dumps({"training": people[:15], "validation": people[15:20], "test": people[20:]}))
    with pytest.raises(
        InputProblems, match=r"sub-0001 \(family .*\) and sub-0002 \(family .* are relatives by mother_id, but stand in"
    ):
        try:
            train(source, tmp_path / "results")
        except RuntimeError as error:
            raise root_cause(error) from None
    assert not (tmp_path / "results" / "2_training").exists()


def test_missing_dataset_is_named(tmp_path):
    with pytest.raises(InputProblems, match=r"--dataset_dir .*nowhere does not exist"):
        try:
            train(tmp_path / "nowhere", tmp_path / "output")
        except RuntimeError as error:
            raise root_cause(error) from None


def test_batch_larger_than_the_training_section_is_refused(tiny_cohort, tmp_path):
    with pytest.raises(InputProblems, match="16 training participants cannot fill a batch"):
        try:
            train(tiny_cohort, tmp_path, batch_size=50)
        except RuntimeError as error:
            raise root_cause(error) from None


def test_one_modality_and_the_run_alias_work(tiny_cohort, tmp_path, capsys):
    run_stage("training", tmp_path, dataset_dir=str(tiny_cohort), modalities=["JAC"], max_epochs=1, progress=False)
    assert "%|" not in capsys.readouterr().err  # no bars
    assert (tmp_path / "2_training" / "model.pt").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0),
        ("max_epochs", -1),
        ("gradient_norm", float("nan")),
        ("mirroring", 2),
        ("loss", "mae"),
    ],
)
def test_settings_that_there_are_not_are_refused_before_anything_is_drawn(tmp_path, name, value):
    with pytest.raises(InputProblems, match=f"--{name}: expected"):
        try:
            train(tmp_path / "nowhere", tmp_path, **{name: value})
        except RuntimeError as error:
            raise root_cause(error) from None
    assert not (tmp_path / "1_prepared").exists()
