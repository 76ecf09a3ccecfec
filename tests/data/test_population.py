import numpy as np
import pandas as pd
import pytest

from bundle.data.population import MODALITY_LOADINGS, N_FACTORS, PHENOTYPE_FACTORS, draw_population


def draw(n=1500, n_strata=4, separation=6.0, missing=0.03, seed=0):
    return draw_population(np.random.default_rng(seed), n, n_strata, separation, missing)


@pytest.fixture(scope="module")
def people():
    return draw()


def within_stratum(people):
    factors = people.truth[MODALITY_LOADINGS.columns]
    return factors - factors.groupby(people.truth["stratum"]).transform("mean")


def test_every_factor_is_seen_but_no_modality_sees_all():
    assert (MODALITY_LOADINGS.sum(axis=0) > 0).all()
    assert (MODALITY_LOADINGS.sum(axis=1) < N_FACTORS).all()


def test_stratum_centres_are_as_far_apart_as_asked(people):
    centres = people.truth.groupby("stratum")[list(MODALITY_LOADINGS.columns)].mean().to_numpy()
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=-1)[np.triu_indices(4, 1)]
    assert np.allclose(distances, 6.0, rtol=0.08)


def test_families_stay_in_one_stratum(people):
    assert (people.truth["stratum"].groupby(people.participants["family_id"]).nunique() == 1).all()


def test_relatives_resemble_each_other_and_identical_twins_twice_as_much(people):
    residual = within_stratum(people).iloc[:, 2:]  # the first two also follow age and sex

    def correlation(zygosity):
        pairs = [group.index[:2] for _, group in chosen(zygosity)]
        first, second = zip(*pairs, strict=True)
        return np.corrcoef(residual.loc[list(first)].to_numpy().ravel(), residual.loc[list(second)].to_numpy().ravel())[
            0, 1
        ]

    def chosen(zygosity):
        table = people.participants[people.participants["zygosity"] == zygosity]
        return [(name, group) for name, group in table.groupby("family_id") if len(group) >= 2]

    assert abs(correlation("MZ") - 0.8) < 0.08
    assert abs(correlation("DZ") - 0.4) < 0.13


def test_twins_share_age_and_identical_twins_share_sex(people):
    twins = people.participants[people.participants["zygosity"] != "n/a"]
    assert (twins.groupby("family_id")["age_years"].nunique() == 1).all()
    assert (twins[twins["zygosity"] == "MZ"].groupby("family_id")["sex"].nunique() == 1).all()


def test_strata_differ_in_their_share_of_men_and_the_null_cohort_has_the_usual_one():
    def men(cohort):
        is_male = cohort.participants["sex"] == "M"
        return is_male.groupby(cohort.truth["stratum"]).mean().to_numpy()

    assert np.allclose(men(draw(6000)), [0.32, 0.42, 0.52, 0.62], atol=0.05)
    assert men(draw(6000, n_strata=1)) == pytest.approx([0.47], abs=0.03)


def test_null_cohort_has_one_stratum_and_the_same_covariance():
    null, strata = draw(4000, n_strata=1), draw(4000, n_strata=4)
    assert null.truth["stratum"].nunique() == 1
    columns = list(MODALITY_LOADINGS.columns)
    both = [np.sort(np.linalg.eigvalsh(p.truth[columns].cov().to_numpy())) for p in (null, strata)]
    assert np.allclose(*both, rtol=0.15)


def test_items_load_on_their_factor_as_stated(people):
    full = draw(4000, missing=0.0)
    for name, factor in PHENOTYPE_FACTORS.items():
        score = full.truth[f"phenotype_{name}"]
        for item, (loading, *_) in factor.items.items():
            assert np.corrcoef(score, full.phenotypes[item])[0, 1] == pytest.approx(loading, abs=0.12), item


def test_linked_factors_follow_their_brain_factor_and_controls_do_not():
    full = draw(4000)
    for name, factor in PHENOTYPE_FACTORS.items():
        correlations = [
            np.corrcoef(full.truth[f"phenotype_{name}"], full.truth[column])[0, 1]
            for column in MODALITY_LOADINGS.columns
        ]
        if factor.brain_factor is not None:
            assert correlations[factor.brain_factor] == pytest.approx(factor.correlation, abs=0.06)
        elif factor.sex_effect == 0:
            assert np.abs(correlations).max() < 0.08


def test_missing_rate_is_as_asked(people):
    assert people.phenotypes.isna().to_numpy().mean() == pytest.approx(0.03, abs=0.005)


def test_same_seed_gives_the_same_people():
    pd.testing.assert_frame_equal(draw(50).truth, draw(50).truth)
    assert not draw(50).truth.equals(draw(50, seed=1).truth)


def test_too_many_strata_are_refused():
    with pytest.raises(ValueError, match="between 1 and 7"):
        draw(50, n_strata=8)


def test_mens_heads_are_larger_by_as_much_as_in_real_people():
    full = draw(4000)
    size, is_male = full.participants["head_size_ml"], full.participants["sex"] == "M"
    within = np.sqrt((size[is_male].var() + size[~is_male].var()) / 2)
    assert (size[is_male].mean() - size[~is_male].mean()) / within == pytest.approx(1.4, abs=0.12)
    assert size.std() == pytest.approx(140, rel=0.08)
