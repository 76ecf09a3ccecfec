"""What the stages before the report must have left: files, columns of tables and facts."""

from __future__ import annotations

from dataclasses import dataclass

from bundle.paths import CLUSTERS, CROSS_VALIDATION, EMBEDDINGS, EVALUATION, PHENOTYPING, PREDICTION, TRAINING

LAST_WRITTEN = {
    TRAINING: "log.tsv",
    EVALUATION: "summary.tsv",
    EMBEDDINGS: "embeddings.npz",
    CLUSTERS: "summary.json",
    PHENOTYPING: "summary.json",
    PREDICTION: "summary.json",
    CROSS_VALIDATION: "summary.json",
}
"""Stage folder -> the file whose presence says that the stage has run."""


@dataclass(frozen=True)
class Form:
    """What a table must have: columns of words and of numbers, and one line on what it holds."""

    holds: str
    words: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()


FORMS: dict[tuple[str, str], Form] = {
    (TRAINING, "log"): Form("loss and validation R² of every epoch", (), ("epoch", "loss", "r2", "seconds")),
    (EVALUATION, "summary"): Form(
        "how well each map is reconstructed",
        ("modality",),
        ("r2", "pca_r2", "linear_r2", "above_linear", "above_linear_low", "above_linear_high", "r2_code_swapped", "ssim", "identifiability", "above_pca_low", "above_pca_high"),
    ),
    (EVALUATION, "people"): Form(
        "the same for each held-out participant", ("participant_id", "modality"), ("r2", "ssim")
    ),
    (CLUSTERS, "strata"): Form("stratum of each participant", ("participant_id",), ("stratum",)),
    (CLUSTERS, "strata_summary"): Form(
        "size and stability of each stratum",
        (),
        ("stratum", "size", "share", "jaccard", "jaccard_low", "jaccard_high", "silhouette"),
    ),
    (CLUSTERS, "candidates"): Form(
        "stability of each number of clusters",
        ("chosen",),
        ("n_clusters", "smallest_cluster", "stability", "stability_low", "stability_high"),
    ),
    (CLUSTERS, "null"): Form(
        "the same choice on cohorts without strata", (), ("evidence", "stability", "n_clusters")
    ),
    (CLUSTERS, "gaps"): Form(
        "gaps between neighbouring clusters", (), ("cluster", "neighbour", "n_between", "depth", "p_value")
    ),
    (CLUSTERS, "other_methods"): Form(
        "what other methods make of the same participants", ("method",), ("n_clusters", "share_noise", "ami")
    ),
    (CLUSTERS, "encoder_agreement"): Form("agreement between encoders", ("encoder_hash",)),
    (CLUSTERS, "site_prediction"): Form(
        "whether sites can be told from embeddings",
        ("codes",),
        ("accuracy", "low", "high", "chance", "chance_low", "chance_high", "p"),
    ),
    (CLUSTERS, "sites"): Form("participants and families of each site", ("site",), ("n_people", "n_families")),
    (CLUSTERS, "site_covariates"): Form("how far covariates follow the site", ("covariate",), ("share",)),
    (CLUSTERS, "strata_sites"): Form("participants of each stratum at each site", ("site",), ("stratum", "n_people", "share")),
    (PHENOTYPING, "flow"): Form("how many participants were left at each step", ("step", "reason"), ("people",)),
    (PHENOTYPING, "left_out"): Form("who was left out and why", ("participant_id", "reason")),
    (PHENOTYPING, "items"): Form(
        "what became of each column of phenotypes", ("item", "label", "state", "reason"), ("missing",)
    ),
    (PHENOTYPING, "factors"): Form(
        "phenotype factors", ("factor", "name", "top_items"), ("explained", "congruence", "congruence_low")
    ),
    (PHENOTYPING, "loadings"): Form("how much each item belongs to each factor", ("item", "label"), ("communality",)),
    (PHENOTYPING, "scores"): Form("factor scores of each participant", ("participant_id",)),
    (PHENOTYPING, "code_covariates"): Form(
        "how much of the embeddings covariates explain", ("covariate",), ("share", "share_last")
    ),
    (PHENOTYPING, "tests"): Form(
        "strata against factors",
        ("version", "factor", "name", "found"),
        ("n_people", "n_strata", "h", "p", "q", "epsilon_squared", "low", "high", "least_detectable"),
    ),
    (PHENOTYPING, "pairs"): Form(
        "which strata differ in a factor",
        ("version", "factor", "name", "stratum_a", "stratum_b"),
        ("z", "p", "p_holm"),
    ),
    (PHENOTYPING, "profile"): Form(
        "mean of each stratum in each factor",
        ("version", "factor", "name", "stratum"),
        ("n_people", "mean", "low", "high"),
    ),
    (PHENOTYPING, "factors_sites"): Form(
        "factors between sites", ("factor", "name"), ("n_people", "n_sites", "h", "p", "q", "epsilon_squared", "low", "high")
    ),
    (PHENOTYPING, "site_tests"): Form(
        "strata against factors within sites", ("factor", "name", "site"), ("n_people", "h", "p", "q", "epsilon_squared")
    ),
    (PHENOTYPING, "site_means"): Form(
        "mean of each stratum at each site in each factor",
        ("factor", "name", "site", "stratum"),
        ("n_people", "mean", "low", "high"),
    ),
    (PHENOTYPING, "strata_people"): Form(
        "who is in each stratum", ("variable", "level", "stratum"), ("n_people", "mean", "sd")
    ),
    (PHENOTYPING, "continuum"): Form(
        "factors predicted from strata and from embeddings",
        ("version", "factor", "name", "predictor"),
        ("n_predictors", "r2", "low", "high"),
    ),
    (PHENOTYPING, "modality_share"): Form("maps that each stratum shows in", ("stratum", "modality"), ("share",)),
    (PHENOTYPING, "dimension_share"): Form(
        "maps that each axis of the clustered space shows in", ("dimension", "modality"), ("share",)
    ),
    (PREDICTION, "figures"): Form(
        "how well columns of the participants table are predicted from embeddings",
        ("target", "participants", "features", "figure"),
        ("n_participants", "value", "low", "high", "difference", "difference_low", "difference_high"),
    ),
    (PREDICTION, "predictions"): Form(
        "prediction of each participant", ("participant_id", "target", "features", "true", "predicted")
    ),
    (PREDICTION, "reliability"): Form(
        "how alike repeated scans of one participant are",
        ("features", "participants"),
        (
            *("n_persons", "n_scans", "n_gallery", "identified", "identified_low", "identified_high", "chance"),
            *("icc_median", "image_icc", "image_icc_low", "image_icc_high"),
        ),
    ),
    (PREDICTION, "left_out"): Form("who was left out of predictions and why", ("participant_id", "reason")),
    (CROSS_VALIDATION, "summary"): Form(
        "cross-validation: reconstruction of all held-out participants",
        ("modality",),
        (
            *("n_people", "n_families", "r2", "r2_low", "r2_high", "r2_lowest_fold", "r2_highest_fold"),
            *("pca_r2", "above_pca", "above_pca_low", "above_pca_high", "mse_mask", "norm_diff", "cnr_ratio"),
            *("identifiability", "identifiability_low", "identifiability_high"),
        ),
    ),
    (CROSS_VALIDATION, "per_fold"): Form(
        "the same fold by fold", ("modality",), ("fold", "n_people", "r2", "r2_low", "r2_high", "pca_r2")
    ),
    (CROSS_VALIDATION, "people"): Form(
        "the same for each held-out participant", ("participant_id", "family_id", "modality"), ("fold", "r2")
    ),
}  # fmt: skip
"""(stage folder, table) -> its form."""

FACTS = {
    CLUSTERS: ("headline", "n_strata", "p_value", "n_people", "encoders"),
    PHENOTYPING: ("headline", "notes", "n_people", "n_strata", "strata_headlines", "primary", "n_permutations"),
    PREDICTION: ("headline", "notes", "encoder_hash", "targets", "settings"),
    CROSS_VALIDATION: ("headline", "n_folds", "missing", "n_people", "n_families", "stratified", "made_with"),
}
"""Stage folder -> what its summary.json must say."""
