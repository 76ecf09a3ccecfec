import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from bundle.analysis.choice_settings import ChoiceSettings
from bundle.analysis.cluster_choice import choose
from bundle.analysis.references import UnimodalReference
from bundle.analysis.simulated_cohorts import grouped
from bundle.analysis.strata import stratifier_of
from bundle.analysis.strata_null import null_test
from bundle.analysis.strata_search import find_strata
from bundle.analysis.strata_settings import StrataSettings
from bundle.analysis.stratifier import Stratifier
from bundle.data.embedding_table import EmbeddingTable

QUICK = StrataSettings(n_references=19, n_stability=10, n_power=0, choice=ChoiceSettings(max_strata=6, n_folds=5))


def planted(seed=0, n=160, n_strata=4, separation=7.0, size=60):
    """Embeddings of `size` values with strata on three axes, families of two in one stratum."""
    rng = np.random.default_rng(seed)
    families = np.arange(n) // 2
    truth = families % n_strata
    centres = np.linalg.qr(rng.standard_normal((n_strata, n_strata)))[0] * separation / np.sqrt(2)
    latent = np.concatenate([centres[truth], np.zeros((n, 2))], axis=1) + rng.standard_normal((n, n_strata + 2))
    codes = latent @ rng.standard_normal((n_strata + 2, size)) + 0.3 * rng.standard_normal((n, size))
    return codes, families, truth


@pytest.fixture(scope="module")
def found():
    codes, families, _ = planted()
    return find_strata(codes, families, settings=QUICK)


def test_planted_strata_are_found(found):
    assert found.n_strata == 4 and found.test.p_value == pytest.approx(0.05)
    assert adjusted_rand_score(planted()[2], found.labels) > 0.95
    assert "4 strata (p = 0.05)" in found.headline
    assert np.nanmean(found.ballots.jaccard, axis=0).min() > 0.8


def test_strata_are_numbered_by_size_and_hold_their_exemplars(found):
    sizes = np.bincount(found.labels)
    assert (np.diff(sizes) <= 0).all()
    assert np.array_equal(found.labels[found.exemplars], np.arange(4))


def test_the_same_seed_finds_the_same(found):
    codes, families, _ = planted()
    again = find_strata(codes, families, settings=QUICK, n_jobs=2)
    assert np.array_equal(found.labels, again.labels)
    assert np.array_equal(found.test.references, again.test.references)


@pytest.mark.parametrize("reference", ["gaussian", "t"])
def test_one_cloud_has_no_strata(reference):
    rng = np.random.default_rng(1)
    codes = rng.standard_normal((150, 8)) @ rng.standard_normal((8, 60)) + 0.3 * rng.standard_normal((150, 60))
    found = find_strata(codes, np.arange(150) // 2, settings=StrataSettings(**{**vars(QUICK), "reference": reference}))
    assert found.n_strata == 1 and not found.labels.any()
    assert found.headline.startswith("no discrete strata found")


def test_a_covariate_is_no_stratum():
    rng = np.random.default_rng(3)
    sex = rng.choice(["F", "M"], 160)
    codes, _, _ = planted(3, n_strata=1)
    codes = codes + np.outer(np.where(sex == "M", 8.0, 0.0), rng.standard_normal(codes.shape[1]))
    raw = find_strata(codes, np.arange(160), settings=QUICK)
    adjusted = find_strata(codes, np.arange(160), pd.DataFrame({"sex": sex}), settings=QUICK)
    assert raw.n_strata == 2 and adjusted.n_strata == 1


@pytest.mark.parametrize("odd", [1, 11])
def test_an_odd_person_or_family_of_a_small_cohort_is_no_stratum(odd):
    codes, _, _ = planted(2, n=20 + odd, n_strata=1)
    codes[20:] += 40 * np.random.default_rng(0).standard_normal(codes.shape[1])
    families = [*range(20), *[20] * odd]
    found = find_strata(codes, families, settings=QUICK)
    assert found.n_strata == 1
    apart = find_strata(codes, list(range(20 + odd)), settings=QUICK)
    assert apart.n_strata == (1 if odd == 1 else 2)


def test_an_outlying_handful_is_set_aside_and_said_and_hides_no_strata():
    codes, families, truth = planted(5)
    odd = np.random.default_rng(1).standard_normal(codes.shape[1])
    codes = np.concatenate([codes, 15 * odd + np.zeros((4, 1)) + codes[:4]])
    found = find_strata(codes, [*families, *range(1000, 1004)], settings=QUICK)
    assert np.flatnonzero(found.outlying).tolist() == [160, 161, 162, 163]
    assert any("4 outlying participants" in note for note in found.notes)
    assert found.n_strata == 4 and adjusted_rand_score(truth, found.labels[:160]) > 0.95


def test_a_group_of_a_tenth_is_found_and_its_gap_said_to_be_deep():
    cohort = grouped((9, 1), 7, 300, 12, np.random.default_rng(0))
    found = find_strata(cohort.points, cohort.families, settings=QUICK)
    assert found.n_strata == 2 and adjusted_rand_score(cohort.groups, found.labels) > 0.95
    assert found.choice.chosen.gaps[0].depth > 0.5


def test_people_get_their_own_strata_back():
    codes, families, _ = planted(6)
    found = find_strata(codes, families, settings=QUICK)
    embedded = EmbeddingTable(
        np.arange(160).astype(str), codes, np.full(160, 0.3), "x", ("FA",), np.ones((160, 1), bool), np.zeros((160, 0))
    )
    assigned = stratifier_of(found, embedded).assign(codes, None, np.full(160, 0.3))
    assert np.array_equal(assigned["nearest_stratum"], found.labels + 1)


def test_a_large_cohort_is_clustered_by_the_choice_of_a_part():
    codes, families, truth = planted(3, n=240)
    part = find_strata(codes, families, settings=StrataSettings(**{**vars(QUICK), "choice_size": 120}))
    assert len(part.labels) == 240 and adjusted_rand_score(truth, part.labels) > 0.95


def test_a_fixed_preference_is_tested_too():
    codes, families, _ = planted(4)
    choice = ChoiceSettings(preference="median", n_folds=3)
    found = find_strata(codes, families, settings=StrataSettings(**{**vars(QUICK), "choice": choice}))
    assert len(found.choice.candidates) == 1
    assert found.choice.chosen.n_clusters > 4


def test_bad_input_is_refused():
    codes, families, _ = planted()
    with pytest.raises(ValueError, match="20 participants at least, got 2"):
        find_strata(codes[:2], families[:2])
    with pytest.raises(ValueError, match="10 families"):
        find_strata(codes, np.zeros(160))
    with pytest.raises(ValueError, match="All embeddings are alike"):
        find_strata(np.ones((40, 9)), np.arange(40))
    with pytest.raises(ValueError, match="finite"):
        find_strata(np.full((40, 9), np.nan), np.arange(40))
    with pytest.raises(ValueError, match="cannot give p"):
        StrataSettings(n_references=10)
    with pytest.raises(ValueError, match="preference"):
        ChoiceSettings(preference="medium")
    with pytest.raises(ValueError, match="dampings"):
        ChoiceSettings(dampings=[0.2])


def test_no_convergence_at_all_is_no_strata_and_said():
    codes, families, _ = planted()
    choice = ChoiceSettings(preference="median", max_iterations=5)
    found = find_strata(codes, families, settings=StrataSettings(**{**vars(QUICK), "choice": choice}))
    assert found.n_strata == 1 and "no number of clusters is stable" in found.headline


def test_clouds_without_strata_are_rarely_called_strata():
    """The fast form of `calibrating`: 24 cohorts, half of them with heavy tails."""
    settings = ChoiceSettings(max_strata=4, n_folds=5)
    families = (np.arange(60) // 2).tolist()
    found = 0
    for seed in range(24):
        rng = np.random.default_rng([seed, 5])
        points = rng.standard_normal((60, 3)) * [3, 2, 1] + np.repeat(rng.standard_normal((30, 3)), 2, axis=0)
        points *= np.sqrt(3 / rng.chisquare(5, size=(60, 1))) if seed % 2 else 1
        points -= points.mean(axis=0)
        choice = choose(points, families, settings, seed)
        # with 19 references, p <= 0.05 if not one is as clear as the data
        test = null_test(
            choice,
            UnimodalReference(points, families),
            families,
            19,
            seed,
            after_each=lambda so_far: bool((so_far.references >= so_far.observed).any()),
        )
        found += test.p_value <= 0.05
    assert found <= 4  # of 24 at a rate of 5 %: exceeded in 0.7 % of all seeds


@pytest.mark.parametrize("shape", ["flat", "bent"])
def test_a_continuum_is_not_called_strata(shape):
    """Clouds that are not Gaussian, and may be told from one, but have no gap."""
    for seed in range(3):
        rng = np.random.default_rng([seed, 8])
        along = rng.random(150)
        axes = np.zeros((150, 6))
        axes[:, 0] = 6 * along
        axes[:, 1] = 3 * (2 * along - 1) ** 2 if shape == "bent" else 4 * rng.random(150)
        codes = (axes + 0.5 * rng.standard_normal(axes.shape)) @ rng.standard_normal((6, 40))
        found = find_strata(codes, np.arange(150), settings=QUICK)
        assert found.n_strata == 1
        assert found.test.p_value > 0.05 or "a continuum" in found.headline


def test_most_new_people_are_like_those_of_before_though_codes_have_1536_values():
    """In-sample distances are too small, the more so the more values an embedding has."""
    rng = np.random.default_rng(0)
    axes, effects = rng.standard_normal((8, 1536)), rng.standard_normal((3, 1536))

    def draw(count):
        table = pd.DataFrame(rng.standard_normal((count, 3)), columns=["a", "b", "c"]).clip(-2, 2)
        codes = 3 * rng.standard_normal((count, 8)) @ axes + rng.standard_normal((count, 1536))
        return codes + table.to_numpy() @ effects, table

    codes, table = draw(150)
    found = find_strata(codes, np.arange(150), table, settings=QUICK)
    embedded = EmbeddingTable(
        np.arange(150).astype(str), codes, np.full(150, 0.3), "x", ("FA",), np.ones((150, 1), bool), np.zeros((150, 0))
    )
    model = stratifier_of(found, embedded)
    new, new_table = draw(100)
    assigned = model.assign(new, new_table, np.full(100, 0.3))
    # the largest and least of 150 lie in 100 new ones now and then
    assert (assigned["reason"] == "").mean() > 0.9
    assert not model.assign(codes, table, np.full(150, 0.3))["reason"].any()
    again = Stratifier.from_arrays(model.to_arrays())
    pd.testing.assert_frame_equal(again.assign(new, new_table, np.full(100, 0.3)), assigned)
