"""Mapping of several participants with the steps themselves replaced: who is listed, who failed, who goes on."""

import errno
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bundle.data.problems import InputProblems
from bundle.data.tables import write_table
from bundle.mapping.model_grid import MapSettings
from bundle.mapping.records import write_participants
from bundle.mapping.scans import Scans
from bundle.mapping.settings import MappingSettings
from bundle.mapping.target import Target
from bundle.mapping.volume import Volume
from bundle.stages import map as stage
from bundle.stages import stratify

pytest.importorskip("SimpleITK")
pytest.importorskip("dipy")

TARGET = Target("t1.nii.gz", Volume(np.ones((2, 2, 2)), np.eye(4)), np.ones((2, 2, 2), bool), (2, 2, 2), np.eye(4))
WARP = {"affine_determinant": 1.0, "jacobian_lowest": 0.5, "jacobian_highest": 2.0, "folded_voxels": 0}
FACTS = {"refused": {}, "brain": {"litres": 1.2}, "warp": WARP | {"likeness": 0.9, "folded_voxels_before": 0}}


@pytest.fixture
def failing(monkeypatch):
    """Participant id -> error that mapping them raises after their first map; others get T1w and JAC."""
    errors = {}

    def map_person(work, maps_folder):
        name = work.scans.participant_id
        (maps_folder / f"{name}_T1w.nii.gz").touch()
        if name in errors:
            (maps_folder / f".123.{name}_JAC.nii.gz").touch()
            raise errors[name]
        (maps_folder / f"{name}_JAC.nii.gz").touch()
        return FACTS

    monkeypatch.setattr(stage, "map_person", map_person)
    monkeypatch.setattr(stage, "_draw", lambda *args: [])
    return errors


def map_people(folder, *names):
    return stage.map_people(str(folder), [Scans(name, {}, None, False) for name in names], TARGET, MappingSettings())


def listed(folder):
    return (folder / "0_mapped" / "cohort" / "participants.tsv").read_text().split()[1:]


def test_who_fails_now_is_not_listed_and_keeps_no_maps(failing, tmp_path):
    map_people(tmp_path, "a", "b", "c")
    assert listed(tmp_path) == ["a", "b", "c"]
    failing["b"] = InputProblems("Brain mask", ["no brain."])
    (tmp_path / "0_mapped" / "cohort" / "c" / "c_JAC.nii.gz").unlink()
    with pytest.raises(InputProblems, match="b: no brain"):
        stage.closing_words(map_people(tmp_path, "b"))
    assert listed(tmp_path) == ["a"]
    assert not list((tmp_path / "0_mapped" / "cohort" / "b").iterdir())


def test_table_and_page_hold_people_of_earlier_calls(failing, tmp_path):
    failing["b"] = InputProblems("Brain mask", ["no brain."])
    map_people(tmp_path, "a", "b")
    map_people(tmp_path, "c")
    table = pd.read_csv(tmp_path / "0_mapped" / "mapping.tsv", sep="\t").set_index("participant_id")
    assert table["status"].to_dict() == {"a": "ok", "b": "failed", "c": "ok"}
    assert table.loc["b", "reason"] == "no brain." and table.loc["a", "brain_litres"] == 1.2
    assert "2 of 3 mapped; 1 failed" in (tmp_path / "0_mapped" / "mapping.html").read_text()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (EOFError("Compressed file ended"), "EOFError: Compressed file ended"),
        (ValueError("first\nlast"), "ValueError: last"),
        (OSError(errno.EIO, "bad disk"), "bad disk"),
        (RuntimeError(), "a: RuntimeError"),
    ],
)
def test_whatever_one_person_raises_the_others_go_on(failing, tmp_path, error, words):
    failing["a"] = error
    with pytest.raises(InputProblems, match=words):
        map_people(tmp_path, "a", "b").raise_failures()
    assert listed(tmp_path) == ["b"]


def test_a_full_disk_ends_the_run(failing, tmp_path):
    map_people(tmp_path, "a")
    failing["a"] = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space"):
        map_people(tmp_path, "a", "b")
    assert not (tmp_path / "0_mapped" / "cohort" / "b").exists()
    assert listed(tmp_path) == []  # a's maps may be half of them new


def test_others_are_assigned_before_failures_are_told(failing, tmp_path, monkeypatch):
    ran = []

    def run_stage(run_id, configs, options, log):
        ran.append(run_id)
        write_table(pd.DataFrame({"participant_id": ["null"]}), tmp_path / "5_assigned" / "assignments.tsv")

    monkeypatch.setattr(stratify, "run_stage", run_stage)
    model = (Path("model.pt"), Path("stratifier.npz"))
    failing["a"] = InputProblems("Brain mask", ["no brain."])
    with pytest.raises(InputProblems, match="a: no brain"):
        stratify.embed_and_assign(str(tmp_path), model, map_people(tmp_path, "a"), {})
    assert ran == []  # there is no participant
    with pytest.raises(InputProblems, match="a: no brain"):
        stratify.embed_and_assign(str(tmp_path), model, map_people(tmp_path, "a", "null"), {})
    assert ran == ["embedding", "assigning"]
    failing.clear()
    table = stratify.embed_and_assign(str(tmp_path), model, map_people(tmp_path, "null"), {})
    assert table["participant_id"].tolist() == ["null"]  # which pandas takes for missing


def test_people_mapped_with_other_settings_do_not_join_the_cohort(failing, tmp_path):
    map_people(tmp_path, "a", "b")
    raw = MappingSettings(maps=MapSettings(jacobian="raw"))
    again = [Scans(name, {}, None, False) for name in ("b", "c")]
    with pytest.raises(InputProblems, match=r"1 participants mapped otherwise \(a\): jacobian was log, is raw"):
        stage.map_people(str(tmp_path), again, TARGET, raw)
    assert listed(tmp_path) == ["a", "b"]
    everybody = [Scans(name, {}, None, False) for name in "abc"]
    assert stage.map_people(str(tmp_path), everybody, TARGET, raw).people == ("a", "b", "c")


def test_columns_that_somebody_added_stay(failing, tmp_path):
    map_people(tmp_path, "a", "b")
    table = tmp_path / "0_mapped" / "cohort" / "participants.tsv"
    table.write_text("participant_id\tfamily_id\nb\tF1\na\tF1\n")
    map_people(tmp_path, "c")
    assert table.read_text() == "participant_id\tfamily_id\na\tF1\nb\tF1\nc\tn/a\n"


def test_columns_stay_through_mapping_again_failing_and_killing(failing, tmp_path):
    map_people(tmp_path, "a", "b")
    table = tmp_path / "0_mapped" / "cohort" / "participants.tsv"
    filled = "participant_id\tfamily_id\tage_years\na\tF1\t30\nb\tF1\t31\n"
    table.write_text(filled)
    map_people(tmp_path, "a", "b")
    assert table.read_text() == filled
    failing["b"] = InputProblems("Brain mask", ["no brain."])
    map_people(tmp_path, "b")
    assert listed(tmp_path) == ["family_id", "age_years", "a", "F1", "30"]
    failing.clear()
    write_participants(tmp_path / "0_mapped", ["a", "b"])  # what a killed run leaves
    assert listed(tmp_path) == ["family_id", "age_years"]
    map_people(tmp_path, "a", "b")
    assert table.read_text() == filled


def test_an_interrupted_run_leaves_table_and_page_of_who_was_mapped(failing, tmp_path):
    map_people(tmp_path, "z")
    failing["c"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        map_people(tmp_path, "a", "b", "c", "z")
    assert listed(tmp_path) == ["a", "b", "z"]  # z's maps are those of before
    assert "3 of 3 mapped" in (tmp_path / "0_mapped" / "mapping.html").read_text()


def test_who_is_at_work_is_not_listed_and_the_page_is_written_seldom(failing, tmp_path, monkeypatch):
    names = [f"p{number:02}" for number in range(20)]
    map_people(tmp_path, *names)
    pages, seen = [], []
    write_page, map_person = stage.write_page, stage.map_person
    monkeypatch.setattr(stage, "write_page", lambda *args: (pages.append(args), write_page(*args)))
    monkeypatch.setattr(
        stage, "map_person", lambda work, maps: (seen.append((work.scans.participant_id, listed(tmp_path))), map_person(work, maps))[1]
    )  # fmt: skip
    map_people(tmp_path, *names)
    assert all(name not in people for name, people in seen) and seen[16][1] == names[:16]
    assert len(pages) == 6  # after 1, 2, 4, 8 and 16, and at the end
    assert listed(tmp_path) == names


def test_maps_of_other_settings_are_not_listed_beside_new_ones(failing, tmp_path):
    map_people(tmp_path, "a", "b")
    failing["a"] = KeyboardInterrupt()
    everybody = [Scans(name, {}, None, False) for name in "ab"]
    with pytest.raises(KeyboardInterrupt):
        stage.map_people(str(tmp_path), everybody, TARGET, MappingSettings(maps=MapSettings(jacobian="raw")))
    assert listed(tmp_path) == []
