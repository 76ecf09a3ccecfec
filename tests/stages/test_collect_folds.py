import json

import numpy as np
import pandas as pd
import pytest

from bundle.analysis.reconstruction import r2
from bundle.data.participants import read_participants
from bundle.data.problems import InputProblems
from bundle.stages.collect_folds import collect_folds, pooled_figures
from tests.stages.fake_folds import MAPS, figures, residuals, run


def test_pooled_r2_is_that_of_all_people_at_once(tiny_cohort, tmp_path, stages):
    run(tmp_path, tiny_cohort)
    summary = pd.read_csv(tmp_path / "8_cross_validation" / "summary.tsv", sep="\t").set_index("modality")
    names = list(read_participants(tiny_cohort)["participant_id"])
    for modality in MAPS:
        images, drawn, pca = (
            np.stack(parts)[:, None] for parts in zip(*(residuals(n, modality) for n in names), strict=True)
        )
        assert summary.loc[modality, "r2"] == pytest.approx(r2(images, drawn)[0], rel=1e-5)
        assert summary.loc[modality, "above_pca"] == pytest.approx((r2(images, drawn) - r2(images, pca))[0], rel=1e-4)
        assert summary.loc[modality, "r2_low"] < summary.loc[modality, "r2"] < summary.loc[modality, "r2_high"]
        assert summary.loc[modality, "r2_lowest_fold"] <= summary.loc[modality, "r2"]
    assert (summary["n_people"] == 24).all() and np.isnan(summary.loc["JAC", "cnr_ratio"])
    per_fold = pd.read_csv(tmp_path / "8_cross_validation" / "per_fold.tsv", sep="\t")
    assert per_fold.groupby("modality")["n_people"].sum().eq(24).all() and set(per_fold["fold"]) == {1, 2, 3}


def test_codes_of_different_folds_are_never_brought_together(tiny_cohort, tmp_path, stages):
    run(tmp_path, tiny_cohort)
    written = {file.name for file in (tmp_path / "8_cross_validation").iterdir()}
    assert written == {"summary.tsv", "per_fold.tsv", "people.tsv", "summary.json", "folds.png"}
    assert (tmp_path / "8_cross_validation" / "folds.png").read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.rglob("*embedding*"))


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
        InputProblems, match=r"fold_02 was evaluated on other participants than folds.tsv says: 0 more and 2 less"
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


def test_pooled_figures_are_means_over_people_and_ratios_of_sums():
    people = figures([{"participant_id": f"p{n}"} for n in range(12)]).assign(
        family_id=lambda table: table["participant_id"]
    )
    summary = pooled_figures(people, ["modality"]).set_index("modality")
    own = people[people["modality"] == "JAC"]
    assert summary.loc["JAC", "mse_mask"] == pytest.approx(own["mse_mask"].mean())
    assert summary.loc["JAC", "identifiability"] == pytest.approx(own["own_image_is_nearest"].mean())
