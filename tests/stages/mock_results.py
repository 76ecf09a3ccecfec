"""A results folder as the stages before the report leave it, with made-up numbers."""

import json

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bundle.data.embedding_table import EmbeddingTable
from bundle.data.tables import write_table
from bundle.pictures import save_figure

N_PEOPLE = 60
ENCODER = "aaaaaaaaaaaa"
MAPS = ("T1w", "FA", "NDI", "JAC")
FACTORS = {f"F{n}": name for n, name in enumerate(["mood", "memory and learning speed", "sleep", "strength"], 1)}
VERSIONS = ("raw", "phenotype adjusted", "embedding and phenotype adjusted", "validation")
PRIMARY = "embedding and phenotype adjusted"
NAMES = [f"sub-{number:03d}" for number in range(N_PEOPLE)]


def save(frame, folder, name):
    write_table(pd.DataFrame(frame), folder / f"{name}.tsv")


def paint(file, width=4.0, height=3.0):
    figure = Figure(figsize=(width, height))
    figure.subplots().plot(np.random.default_rng(0).standard_normal(50))
    save_figure(figure, file)


def write_images(folder):
    """Stages 1 to 4, as they leave them, without images."""
    rng = np.random.default_rng(0)
    people = [{"participant_id": name, "family_id": f"fam-{number // 2}"} for number, name in enumerate(NAMES)]
    datalist = {"modalities": MAPS, "spatial_size": [64, 64, 48]}
    datalist |= {"training": people[:40], "validation": people[40:50], "test": people[50:]}
    (folder / "1_prepared").mkdir(parents=True)
    (folder / "1_prepared" / "datalist.json").write_text(json.dumps(datalist))
    epochs = np.arange(6)  # 0 is before the first step, and has no loss
    log = {"epoch": epochs, "loss": [None, *(1 / epochs[1:])], "r2": 0.8 - 0.5 / (epochs + 1)}
    log["seconds"] = [None] + [30.0] * 5
    save(log, folder / "2_training", "log")
    paint(folder / "2_training" / "learning_curve.png", 10, 4)
    summary = {"modality": MAPS, "r2": [0.79, 0.75, 0.73, 0.85], "pca_r2": 0.7, "r2_code_swapped": -0.7}
    summary |= {"ssim": 0.9, "identifiability": 1.0, "above_pca_low": 0.02, "above_pca_high": 0.09}
    summary |= {"linear_embedding": "PCA of all maps", "linear_r2": 0.65, "above_linear": 0.05}
    summary |= {"above_linear_low": 0.02, "above_linear_high": 0.08}
    save(summary, folder / "3_evaluation", "summary")
    rows = [(name, modality) for name in NAMES[50:] for modality in MAPS]
    r2_values = pd.DataFrame(rows, columns=["participant_id", "modality"]).assign(
        r2=rng.uniform(0.6, 0.9, 40), ssim=0.9
    )
    save(r2_values, folder / "3_evaluation", "people")
    for word in ("median", "worst"):
        paint(folder / "3_evaluation" / f"reconstruction_{word}.png", 10, 16)
    codes = rng.standard_normal((N_PEOPLE, 40)).astype(np.float32)
    codes[:, :3] += 6 * np.eye(3, dtype=np.float32)[np.arange(N_PEOPLE) % 3]
    present, uncertainties = np.ones((N_PEOPLE, len(MAPS)), bool), np.zeros((N_PEOPLE, 0))
    errors, versions = np.full(N_PEOPLE, 0.2), {"torch": "2.13.0"}
    table = EmbeddingTable(np.array(NAMES), codes, errors, ENCODER, MAPS, present, uncertainties, versions)
    table.write_arrays(folder / "4_embeddings")


def write_clusters(folder, n_strata):
    """Stage 5."""
    target = folder / "5_clusters"
    none = "no discrete strata found (p = 0.38; the chosen partition had 2 clusters)"
    headline = f"{n_strata} strata (p = 0.01)" if n_strata > 1 else none
    strata = np.arange(N_PEOPLE) % n_strata + 1
    save({"participant_id": NAMES, "stratum": strata}, target, "strata")
    numbers = np.arange(1, n_strata + 1)
    sizes = {"stratum": numbers, "size": N_PEOPLE // n_strata, "share": 1 / n_strata, "silhouette": 0.4}
    save(sizes | {"jaccard": 0.9, "jaccard_low": 0.8, "jaccard_high": 1.0}, target, "strata_summary")
    candidates = {"n_clusters": [2, 3], "smallest_cluster": [40, 20], "stability": [0.7, 0.95]}
    candidates |= {"stability_low": 0.5, "stability_high": 1.0, "chosen": [False, True]}
    save(candidates, target, "candidates")
    save({"evidence": np.linspace(-9, -2, 99), "stability": 0.5, "n_clusters": 2}, target, "null")
    gaps = {"cluster": numbers, "neighbour": numbers[::-1], "n_between": 30, "depth": 0.9, "p_value": 0.001}
    save(gaps, target, "gaps")
    others = {"method": ["k-means", "HDBSCAN"], "n_clusters": 3, "share_noise": [0, 0.4], "ami": [0.95, 0.5]}
    save(others, target, "other_methods")
    for name, width in (("choice", 15), ("people", 6)):
        paint(target / f"{name}.png", width, 4)
    choice = {"preference": None, "max_strata": 10, "min_stratum_share": 0.02, "n_folds": 10, "least_stability": 0.9}
    choice |= {"least_agreement": 0.86, "least_depth": 0.5, "least_z_value": 1.0, "subsample_share": 0.5}
    power = {"sentence": "Two groups were found in 17 of 20 simulated cohorts."}
    settings = {"standardise": False, "reduce": True, "choice": choice, "reference": "gaussian", "n_references": 99}
    facts = {
        "headline": headline,
        "n_strata": n_strata,
        "p_value": 0.01 if n_strata > 1 else 0.38,
        "evidence": 6.0,
        "stability": 0.95,
        "power": power,
        "n_people": N_PEOPLE,
        "covariates": ["age_years", "sex"],
        "n_dimensions": 7,
        "explained": 0.66,
        "gaps": {"n_clusterings": 4, "depth": 0.9, "z_value": 5.1, "border_agreement": 0.97},
        "notes": [],
        "settings": settings | {"significance": 0.05, "choice_size": 1000, "n_stability": 50, "seed": 4},
        "encoders": [{"encoder_hash": ENCODER, "headline": headline, "n_strata": n_strata}],
    }
    (target / "summary.json").write_text(json.dumps(facts))


def write_phenotypes(
    folder, n_strata, encoder_hash=ENCODER, n_people=N_PEOPLE, label="Feels <script>alert(1)</script> low"
):
    """Stage 6."""
    rng = np.random.default_rng(1)
    target = folder / "6_phenotypes"
    both = {"factor": list(FACTORS), "name": list(FACTORS.values())}
    save(
        {
            "step": ["with an embedding", "with phenotypes", "analysed"],
            "people": [n_people, n_people - 3, n_people - 10],
            "reason": [None, "no row in the phenotypes table", "more than half of the items missing"],
        },
        target,
        "flow",
    )
    reasons = ["no row in the phenotypes table"] * 3 + ["more than half of the items missing"] * 7
    save({"participant_id": [f"sub-9{n}" for n in range(10)], "reason": reasons}, target, "left_out")
    items = [f"item_{number:02d}" for number in range(24)]
    labels = [label, *[f"A question about subject {number}" for number in range(1, 24)]]
    state = ["used"] * 20 + ["left out"] * 2 + ["demographic"] * 2
    reason = [None] * 20 + ["alike for all participants"] * 2 + ["is a covariate"] * 2
    save(
        {"item": items, "label": labels, "state": state, "reason": reason, "missing": rng.uniform(0, 0.1, 24)},
        target,
        "items",
    )
    factors = {
        "explained": [0.2, 0.15, 0.1, 0.05],
        "congruence": 0.97,
        "congruence_low": 0.9,
        "top_items": ", ".join(labels[1:4]),
    }
    save(both | factors, target, "factors")
    loadings = {"item": items[:20], "label": labels[:20]} | {name: rng.uniform(-1, 1, 20) for name in FACTORS}
    save(loadings | {"communality": 0.6}, target, "loadings")
    save(
        {"covariate": ["age_years", "sex"], "share": [0.1, 0.03], "share_last": [0.08, 0.002]},
        target,
        "code_covariates",
    )
    if n_strata > 1:
        _write_tests(target, both, n_strata, n_people)
    continuum = []
    for predictor, n_predictors in (("strata", n_strata), ("components", 7), ("ridge", 1536), ("linear fusion", 7)):
        if predictor != "strata" or n_strata > 1:
            for factor, name in FACTORS.items():
                r2 = rng.uniform(-0.02, 0.3)
                continuum.append((PRIMARY, factor, name, predictor, n_predictors, r2, r2 - 0.05, r2 + 0.05))
    save(
        pd.DataFrame(
            continuum, columns=["version", "factor", "name", "predictor", "n_predictors", "r2", "low", "high"]
        ),
        target,
        "continuum",
    )
    strata = ["everybody", *[str(number) for number in range(1, n_strata + 1)]]
    shares = [
        (stratum, modality, value)
        for stratum in strata
        for modality, value in zip(MAPS, (0.4, 0.3, 0.2, 0.1), strict=True)
    ]
    save(pd.DataFrame(shares, columns=["stratum", "modality", "share"]), target, "modality_share")
    shares = [(dimension, modality, 0.25) for dimension in (1, 2) for modality in MAPS]
    save(pd.DataFrame(shares, columns=["dimension", "modality", "share"]), target, "dimension_share")
    for name in ("loadings", "continuum", "maps", *(["profile"] if n_strata > 1 else [])):
        paint(target / f"{name}.png", 8, 5)
    with_strata = "2 of 4 phenotype factors differ between the strata, beyond covariates."
    without = "Embeddings predict 3 of 4 phenotype factors by degrees; the best is mood (R² 0.21)."
    words = f"{n_strata} strata" if n_strata > 1 else "no discrete strata found"
    facts = {
        "headline": with_strata if n_strata > 1 else without,
        "notes": ["Motion was not known, so it could not be regressed out."],
        "n_people": n_people - 10,
        "n_families": n_people // 2 - 5,
        "n_strata": {"raw": n_strata, "adjusted": n_strata},
        "strata_headlines": {"raw": words, "adjusted": words},
        "primary": PRIMARY,
        "n_factors": 4,
        "factor_rule": "parallel analysis",
        "rank_normalise": True,
        "covariates": ["age_years", "sex"],
        "n_permutations": 9999,
        "n_bootstrap": 1000,
        "exchange": "whole families of one size and the same zygosity",
        "share_fixed": 0.02,
        "significance": 0.05,
        "least_detectable": 0.041,
        "seed": 7,
        "encoder_hash": encoder_hash,
        "versions": {"scipy": "1.17.1"},
    }
    (target / "summary.json").write_text(json.dumps(facts))


def _write_tests(target, both, n_strata, n_people):
    tests = []
    for version in VERSIONS:
        effects = [0.21, 0.06, 0.01, 0.002]
        tests.append(
            pd.DataFrame(both).assign(
                version=version, n_people=n_people, n_strata=n_strata, h=[60.1, 17.2, 3.3, 0.4], p_chi2=0.01,
                p=[0.0001, 0.003, 0.3, 0.8], p_max_t=[0.0001, 0.01, 0.7, 1], q=[0.0004, 0.006, 0.4, 0.8],
                epsilon_squared=effects, low=np.array(effects) * 0.5, high=np.array(effects) * 1.5 + 0.01,
                least_detectable=0.041, found=[True, True, False, False],
            )
        )  # fmt: skip
    save(pd.concat(tests), target, "tests")
    levels = np.arange(1, n_strata + 1)
    pairs = [(PRIMARY, "F1", "mood", a, b, 3.2, 0.0001, 0.0006) for a in levels for b in levels if a < b]
    columns = ["version", "factor", "name", "stratum_a", "stratum_b", "z", "p", "p_holm"]
    save(pd.DataFrame(pairs, columns=columns), target, "pairs")
    profile = [
        (version, factor, name, stratum, n_people // n_strata, 0.1 * stratum, 0.1 * stratum - 0.2, 0.1 * stratum + 0.2)
        for version in VERSIONS
        for factor, name in FACTORS.items()
        for stratum in levels
    ]
    columns = ["version", "factor", "name", "stratum", "n_people", "mean", "low", "high"]
    save(pd.DataFrame(profile, columns=columns), target, "profile")
    people = [("age_years", None, stratum, 20, 30 + stratum, 4.2) for stratum in levels]
    people += [("sex", level, stratum, 10, 0.5, None) for level in ("F", "M") for stratum in levels]
    save(
        pd.DataFrame(people, columns=["variable", "level", "stratum", "n_people", "mean", "sd"]),
        target,
        "strata_people",
    )


def write_cross_validation(folder, missing=()):
    """Stage 8."""
    target = folder / "8_cross_validation"
    people = pd.DataFrame(
        [(name, modality) for name in NAMES for modality in MAPS], columns=["participant_id", "modality"]
    )
    people["family_id"] = [f"fam-{number // 2}" for number in range(N_PEOPLE) for _ in MAPS]
    save(people.assign(fold=1, r2=0.7), target, "people")
    figures = {
        "r2": 0.731,
        "pca_r2": 0.65,
        "above_pca": 0.081,
        "mse_mask": 0.2,
        "norm_diff": 0.1,
        "identifiability": 0.95,
    }
    row = {"n_people": N_PEOPLE, "n_families": N_PEOPLE // 2, "cnr_ratio": None, "r2_lowest_fold": 0.7}
    for name, value in figures.items():
        row |= {name: value, f"{name}_low": value - 0.01, f"{name}_high": value + 0.01}
    summary = pd.DataFrame({"modality": MAPS}).assign(**row, r2_highest_fold=0.76)
    save(summary, target, "summary")
    save(pd.concat([summary.assign(fold=fold) for fold in range(1, 11) if fold not in missing]), target, "per_fold")
    paint(target / "folds.png", 12, 4)
    facts = {"headline": "Incomplete: 9 of 10 folds; missing: 4." if missing else "All 10 folds are in.", "n_folds": 10}
    facts |= {
        "missing": list(missing),
        "n_people": N_PEOPLE,
        "n_families": N_PEOPLE // 2,
        "stratified": ["sex", "site"],
    }
    (target / "summary.json").write_text(json.dumps(facts | {"made_with": {"max_epochs": 6}}))


def write_results(folder, n_strata=3):
    """A results folder of all stages."""
    write_images(folder)
    write_clusters(folder, n_strata)
    write_phenotypes(folder, n_strata)
    write_cross_validation(folder)
    return folder
