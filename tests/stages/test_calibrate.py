import pandas as pd
import pytest

from bundle.data.problems import InputProblems
from tests.conftest import root_cause, run_stage

QUICK = {"n_permutations": 299, "num_workers": 2, "progress": False}


def calibrated(folder, **options):
    run_stage("calibrating", folder, **(QUICK | options))
    return pd.read_csv(folder / "calibration" / "calibration.tsv", sep="\t").set_index(["scenario", "way"])


def test_safeguards_hold_where_naive_tests_do_not(tmp_path):
    table = calibrated(tmp_path, only="factors: ", n_cohorts=100, n_cohorts_with_effect=30)
    assert table["holds"].dropna().astype(bool).all()
    assert table.loc[("factors: kinship only", "chi-square, Benjamini-Hochberg"), "low"] > 0.05
    assert table.loc[("factors: sex confound only", "families exchanged, max-T"), "rate"] > 0.9
    assert table.loc[("factors: sex confound only", "embedding and phenotype adjusted"), "high"] < 0.15
    assert table.loc[("factors: one differs, 15% of its variance", "families exchanged, max-T"), "rate"] > 0.8
    assert (tmp_path / "calibration" / "calibration.png").stat().st_size > 5000


def test_strata_are_found_where_they_are_and_not_where_they_are_not(tmp_path):
    options = {"n_cohorts": 8, "n_cohorts_with_effect": 4}
    table = calibrated(
        tmp_path,
        only=["strata: none, gaussian, 300 participants, 17 axes", "power: 300 participants, 17 axes, 10%, 8"],
        **options,
    )
    assert table.loc[("strata: none, gaussian, 300 participants, 17 axes", "gaps with null"), "n_found"] <= 1
    assert table.loc[("power: 300 participants, 17 axes, 10%, 8 apart", "gaps"), "n_found"] >= 3
    assert (tmp_path / "calibration" / "power.png").stat().st_size > 5000
    more = calibrated(tmp_path, only="factors: nothing", n_cohorts=10)
    assert set(more.index.get_level_values("scenario")) > {
        "factors: nothing",
        "strata: none, gaussian, 300 participants, 17 axes",
    }


def test_an_unknown_scenario_is_refused(tmp_path):
    with pytest.raises(InputProblems, match=r"weather.* is the start of none of these"):
        try:
            run_stage("calibrating", tmp_path, only=["factors: nothing", "weather"], **QUICK)
        except RuntimeError as error:
            raise root_cause(error) from None
