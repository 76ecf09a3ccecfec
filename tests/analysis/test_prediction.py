import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, r2_score, roc_auc_score

from bundle.analysis.prediction import Target, mean_predictions, out_of_fold_predictions, outer_folds
from bundle.analysis.prediction_figures import compare_predictions, predicted_values, weighted_auc

N = 90
PAIRS = np.array([f"family {number // 2}" for number in range(N)])
EVERYBODY = np.arange(N)


def features_of(rng, signal, n_features=200):
    """Features of which a few directions carry a signal."""
    return signal[:, None] * rng.standard_normal(n_features) + 2 * rng.standard_normal((N, n_features))


def compared(target, features, n_draws=400, **more):
    folds = outer_folds(target, PAIRS, 5, 2, seed=0)
    predictions = {name: out_of_fold_predictions(values, target, PAIRS, folds) for name, values in features.items()}
    table = compare_predictions(target, predictions, folds, PAIRS, more.get("rows", EVERYBODY), n_draws)
    return table.set_index(["features", "figure"])


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_continuous_signal_is_found_and_noise_is_not(seed):
    rng = np.random.default_rng(seed)
    age = 50 + 15 * rng.standard_normal(N)
    features = {"signal": features_of(rng, (age - 50) / 15), "noise": rng.standard_normal((N, 200))}
    table = compared(Target("age", age), features)
    assert table.loc[("signal", "r2"), "low"] > 0.5 and table.loc[("signal", "mae"), "value"] < 8
    assert table.loc[("noise", "r2"), "value"] < 0.15 and table.loc[("noise", "r2"), "low"] < 0
    assert table.loc[("noise", "r2"), "difference_low"] > 0.2
    assert table.loc[("noise", "mae"), "difference_high"] < 0


@pytest.mark.parametrize("levels", [("F", "M"), ("A", "B", "C")])
@pytest.mark.parametrize("seed", range(2))
def test_planted_levels_are_found_and_noise_is_at_chance(levels, seed):
    rng = np.random.default_rng(seed)
    numbers = rng.permutation(np.arange(N) % len(levels))
    centres = rng.standard_normal((len(levels), 100))
    features = {"signal": centres[numbers] + rng.standard_normal((N, 100)), "noise": rng.standard_normal((N, 100))}
    table = compared(Target("group", numbers, levels), features)
    assert table.loc[("signal", "auc"), "low"] > 0.8
    assert table.loc[("signal", "balanced_accuracy"), "low"] > 1 / len(levels) + 0.2
    assert table.loc[("noise", "auc"), "low"] < 0.5 and table.loc[("noise", "auc"), "value"] < 0.68
    assert table.loc[("noise", "auc"), "difference_low"] > 0.1


def test_a_rare_level_is_not_swallowed_by_a_frequent_one():
    rng = np.random.default_rng(0)
    rare = (np.arange(N) % 9 == 0).astype(int)
    table = compared(Target("rare", rare, ("no", "yes")), {"signal": features_of(rng, 3.0 * rare)})
    assert table.loc[("signal", "balanced_accuracy"), "value"] > 0.8


def test_families_never_straddle_folds_and_everybody_is_in_one():
    rng = np.random.default_rng(1)
    folds = outer_folds(Target("age", rng.standard_normal(N)), PAIRS, 7, 3, seed=5)
    for fold_of in folds:
        assert set(fold_of) == set(range(1, 8))
        assert all(len(set(fold_of[family == PAIRS])) == 1 for family in set(PAIRS))
    assert not np.array_equal(folds[0], folds[1])


def test_relatives_alike_in_everything_give_nothing_away():
    """Twins share features and an outcome that has nothing to do with them: only a fold that divides them could tell."""
    rng = np.random.default_rng(2)
    own = np.arange(N) // 2
    features, outcome = rng.standard_normal((N // 2, 60))[own], rng.standard_normal(N // 2)[own]
    assert compared(Target("x", outcome), {"shared": features}).loc[("shared", "r2"), "value"] < 0.1
    target = Target("x", outcome)
    dividing = np.tile(np.arange(N) % 5 + 1, (1, 1))
    leaked = out_of_fold_predictions(features, target, [str(number) for number in range(N)], dividing)
    assert r2_score(outcome, leaked[0, :, 0]) > 0.5


def test_predictions_do_not_depend_on_units_or_order_of_features():
    rng = np.random.default_rng(3)
    age = rng.standard_normal(N)
    features = features_of(rng, age, 20)
    target = Target("age", age)
    folds = outer_folds(target, PAIRS, 5, 1, seed=0)
    once = out_of_fold_predictions(features, target, PAIRS, folds)
    again = out_of_fold_predictions(1000 * features[:, ::-1] + 7, target, PAIRS, folds)
    np.testing.assert_allclose(once, again, atol=1e-6)


def test_a_constant_column_changes_nothing_and_huge_noise_does_not_drown_a_small_column():
    rng = np.random.default_rng(4)
    age = rng.standard_normal(N)
    volumes = np.column_stack([age + 0.3 * rng.standard_normal(N), 1e6 * rng.standard_normal(N), np.full(N, 3.0)])
    assert compared(Target("age", age), {"regions": volumes}).loc[("regions", "r2"), "value"] > 0.7


def test_figures_are_those_of_scikit_learn():
    rng = np.random.default_rng(5)
    age, sex = rng.standard_normal(N), rng.permutation(np.arange(N) % 2)
    for target in (Target("age", age), Target("sex", sex, ("F", "M"))):
        folds = outer_folds(target, PAIRS, 5, 1, seed=0)
        signal = features_of(rng, target.values.astype(float))
        predicted = out_of_fold_predictions(signal, target, PAIRS, folds)
        table = compare_predictions(target, {"own": predicted}, folds, PAIRS, EVERYBODY, 60).set_index("figure")[
            "value"
        ]
        values = predicted_values(target, predicted, folds)
        if target.levels:
            scores = (predicted - mean_predictions(target, folds))[0, :, 1]
            assert table["auc"] == pytest.approx(roc_auc_score(sex, scores))
            assert table["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(sex, values))
        else:
            assert table["mae"] == pytest.approx(np.abs(values - age).mean())
            assert table["r2"] == pytest.approx(r2_score(age, values), abs=0.02)  # here about the mean of the others


def test_auc_counts_ties_as_half_and_weights_as_copies():
    scores, is_case = np.array([0.1, 0.5, 0.5, 0.9]), np.array([False, True, False, True])
    weights = np.array([[1.0, 1, 1, 1], [2, 1, 1, 1], [1, 0, 1, 0]])
    copied = roc_auc_score([0, 0, 1, 0, 1], [0.1, 0.1, 0.5, 0.5, 0.9])
    areas = weighted_auc(scores, is_case, weights)
    np.testing.assert_allclose(areas[:2], [0.875, copied])
    assert np.isnan(areas[2])


def test_figures_of_some_participants_have_no_interval_if_their_families_are_few():
    rng = np.random.default_rng(6)
    age = rng.standard_normal(N)
    table = compared(Target("age", age), {"signal": features_of(rng, age)}, rows=np.arange(12))
    assert np.isfinite(table["value"]).all() and table[["low", "high"]].isna().all(axis=None)
