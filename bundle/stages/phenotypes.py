"""Stage 6: strata, and the code as a continuum, against phenotype factors."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from monai.data import Dataset

from bundle.analysis.cluster_choice import ChoiceSettings
from bundle.analysis.contributions import covariate_shares, dimension_shares, modality_shares
from bundle.analysis.covariates import CovariateModel
from bundle.analysis.discovery import validate
from bundle.analysis.group_tests import exchangeable_families, share_fixed
from bundle.analysis.phenotype_cohort import (
    Cohort,
    FactorSettings,
    Grouping,
    analysed_people,
    compare_with_continuum,
    make_factors,
)
from bundle.analysis.phenotyping import (
    BOTH_ADJUSTED,
    PHENOTYPE_ADJUSTED,
    RAW,
    VALIDATION,
    TestSettings,
    compare,
    people_of_strata,
    together,
)
from bundle.analysis.strata import StrataSettings, find_strata
from bundle.data.atomic import atomic_path
from bundle.data.datalist import read_json
from bundle.data.embedding_table import EmbeddingTable, read_embedding_table
from bundle.data.items import read_items
from bundle.data.people import USUAL, covariate_columns, people_table
from bundle.data.problems import InputProblems
from bundle.paths import (
    CLUSTERS,
    DATALIST,
    EMBEDDINGS,
    PHENOTYPES,
    PHENOTYPING,
    PREPARED,
    STRATIFIER,
    beside_datalist,
    stage_folder,
)
from bundle.phenotype_pictures import continuum_picture, loadings_picture, maps_picture, profile_picture
from bundle.phenotype_tables import factor_rows, facts, item_rows, loading_rows, score_rows
from bundle.pictures import save_figure
from bundle.stages.assign import read_stratifier
from bundle.stages.cluster import Progress
from bundle.stages.contributions import (
    ImageEvidence,
    changes_in_space,
    decoded_differences,
    read_images,
    write_maps,
)
from bundle.stages.embed import software_versions
from bundle.stages.evaluate import load_network
from custom_nets import FusionAutoencoder

logger = logging.getLogger(__name__)
OTHER_REFERENCES = 19
"""Cohorts without strata for the codes that clustering did not cluster, where p needs no more."""
PEOPLE_PER_TERM = 20
FAR = 8.0
"""Standard deviations that an item's value may lie from the mean without a word."""
OPTIONAL = ("modality_share.tsv", "dimension_share.tsv", "profile.png", "maps.png")


def phenotype(
    output_dir: str,
    phenotypes: str | None,
    dictionary: str | Mapping[str, Any] | None,
    id_column: str,
    embeddings: str | None,
    participants: str | None,
    covariates: str | Sequence[str] | None,
    categories: Sequence[str],
    kinship: str | None,
    factors: Mapping[str, Any],
    tests: Mapping[str, Any],
    validation_share: float,
    n_folds: int,
    use_images: bool,
    n_explained: int,
    network: FusionAutoencoder,
    checkpoint: str | None,
    dataset: Dataset,
    device: torch.device,
    num_workers: int = 2,
    progress: bool = True,
) -> pd.DataFrame:
    """Compare strata by phenotype factors; write `6_phenotypes/`.

    Args:
        output_dir: results folder with `4_embeddings` and `5_clusters`.
        phenotypes: items table; None takes `phenotypes.tsv` of the cohort of `1_prepared`.
        dictionary: see `read_items`.
        id_column: of the items table.
        embeddings: an `embeddings.npz`; None takes `<output_dir>/4_embeddings`.
        participants: as for clustering.
        covariates: taken out of codes and scores; None takes those that clustering took out, or the usual ones.
        categories: as for clustering.
        kinship: column of participants that tells members of a family apart, such as zygosity; None, or a column that is
            not there, exchanges families of one size.
        factors: arguments of `FactorSettings`.
        tests: arguments of `TestSettings`.
        validation_share: of families that strata and factors are kept from, for a test of their own; 0 for none.
        n_folds: of whole families, for what predicts each factor.
        use_images: for linear fusion, each modality's share, and maps of strata.
        n_explained: people whose images are encoded with one modality at a time taken away.
        network: built from the config, without weights yet.
        checkpoint: its weights; None takes `<output_dir>/2_training/model.pt`.
        dataset: people of `1_prepared`, preprocessed.
        device: of the network.
        num_workers: processes for the null.
        progress: show bars.

    Returns:
        `tests.tsv`.

    Raises:
        InputProblems: with all that is wrong with the input.
        SystemExit: with status 130 after Ctrl-C.
    """
    factor_settings, test_settings = _checked(factors, tests, validation_share, n_folds, n_explained)
    table = read_embedding_table(embeddings if embeddings else stage_folder(output_dir, EMBEDDINGS))
    clusters, found = read_clusters(output_dir, table)
    people = people_table(table.participant_ids.tolist(), output_dir, participants, categories)
    taken_out = _covariates(people, covariates, found["covariates"])
    items = read_items(_items_file(output_dir, phenotypes), dictionary, id_column)
    rows, flow, left_out = analysed_people(items, people, factor_settings)
    kinds = _kinds(people, kinship)
    codes = table.codes.astype(float)
    cohort = Cohort(table, codes, people, taken_out, items, rows, kinds, found["settings"]["splines"])
    fixed = share_fixed(exchangeable_families(cohort.families[rows], cohort.kinds_of(rows)))
    if fixed == 1:
        raise InputProblems(
            "Families",
            [
                "No two families are alike, so nothing can be exchanged: --kinship '$None' exchanges families of one size."
            ],
        )
    made = make_factors(cohort, rows, factor_settings, test_settings.seed)
    scores = made.model.scores(made.values)
    adjusted = cohort.without_covariates(scores, rows)
    evidence = None
    try:
        if use_images:
            network = load_network(network, checkpoint, output_dir, device)
            evidence = read_images(network, dataset, table, n_explained, device, test_settings.seed, progress)
        with Progress(progress) as bar:
            raw, both = groupings(cohort, clusters, found, num_workers, bar)
            # unadjusted codes may hide strata; what adjusting phenotypes does is then shown for those of adjusted codes
            first = raw if raw.n_strata > 1 else both
            versions = [(RAW, scores, first)]
            if cohort.has_covariates:
                versions += [(PHENOTYPE_ADJUSTED, adjusted, first), (BOTH_ADJUSTED, adjusted, both)]
            comparisons = [
                compare(name, values, grouping.labels[rows], cohort.families[rows], cohort.kinds_of(rows), made.names, test_settings)
                for name, values, grouping in versions
            ]  # fmt: skip
            if validation_share:
                settings = _settings(found, found["settings"]["n_references"])
                comparisons.append(
                    validate(cohort, settings, validation_share, factor_settings, test_settings, num_workers, bar.show)
                )
    except KeyboardInterrupt:
        logger.warning("Interrupted; nothing was written, the same command starts again.")
        raise SystemExit(130) from None
    result = together(comparisons)
    notes = list(dict.fromkeys(result.notes))
    if people["family_id"].nunique() == len(people):
        notes.append("Nobody shares a family_id: everybody counts as unrelated.")
    if first is not raw and both.n_strata > 1:
        notes.append(
            f"The unadjusted codes have no discrete strata, so {RAW} and {PHENOTYPE_ADJUSTED} compare those of the "
            "adjusted codes."
        )
    n_terms = len(CovariateModel.fit_unchecked(scores, taken_out.iloc[rows], cohort.splines).coefficients)
    if len(rows) < PEOPLE_PER_TERM * n_terms:
        notes.append(
            f"{len(rows)} people for {n_terms} terms of covariates: with fewer than {PEOPLE_PER_TERM} per term, p of "
            "adjusted scores is a little too small."
        )
    far = made.items[(made.items["state"] == "used") & (made.items["farthest"] > FAR)]
    notes += [
        f"{row.item}: a value lies {row.farthest:.0f} standard deviations from the mean ({row.least:g} to {row.largest:g}): "
        "is it a code for a missing value?"
        for row in far.itertuples()
    ]
    describing = people.iloc[rows].drop(columns="family_id").join(items.demographics, rsuffix="_item")
    who, skipped = people_of_strata(describing, both.labels[rows])
    if skipped:
        notes.append(f"Not described by stratum, since nearly everybody has a word of their own: {', '.join(skipped)}.")
    tables = {
        "flow": flow,
        "left_out": left_out,
        "items": item_rows(made, items),
        "factors": factor_rows(made),
        "loadings": loading_rows(made),
        "scores": score_rows(people.index[rows], scores, adjusted, made).assign(
            stratum_raw=raw.labels[rows], stratum_adjusted=both.labels[rows]
        ),
        "code_covariates": covariate_shares(codes, taken_out, cohort.splines),
        "tests": result.tests,
        "pairs": result.pairs,
        "profile": result.profile,
        "strata_people": who,
        "continuum": compare_with_continuum(cohort, raw, both, scores, _linear(evidence), made.names, n_folds, test_settings),
    }  # fmt: skip
    differences = None
    is_of_primary = bool(found["covariates"]) == cohort.has_covariates
    if evidence is not None and is_of_primary:
        tables |= shares(output_dir, evidence, clusters, both.codes, table)
        if both.n_strata > 1:
            differences = _differences(network, clusters, codes, device)
    elif evidence is not None:
        notes.append(
            "Clustering took no covariates out, so its strata are not those that count here: no modality shares and maps. "
            "Cluster with covariates for these."
        )
    folder = stage_folder(output_dir, PHENOTYPING)
    # what an earlier run found goes first: a page of two runs would be wrong without a sign
    for name in ("summary.json", *OPTIONAL):
        (folder / name).unlink(missing_ok=True)
    for old in (folder / "maps").glob("stratum_*.nii.gz"):
        old.unlink()
    if differences is not None:
        write_maps(differences, dataset.data[0], table.modalities, folder / "maps")
    for name, content in tables.items():
        with atomic_path(folder / f"{name}.tsv") as temporary:
            content.to_csv(temporary, sep="\t", index=False, float_format="%.6g", na_rep="n/a")
    _draw(folder, tables, cohort.primary, test_settings.significance, differences, network)
    summary = facts(cohort, raw, both, made, tables, factor_settings, test_settings) | {
        "notes": notes,
        "exchange": f"whole families of one size{'' if kinds is None else f' and the same {kinship}'}",
        "share_fixed": fixed,
        "validation_share": validation_share,
        "n_folds": n_folds,
        "strata_sha256": strata_sha256(output_dir),
        "versions": software_versions(),
    }
    with atomic_path(folder / "summary.json") as temporary:  # last: with it the folder counts as whole
        temporary.write_text(json.dumps(summary, indent=1))
    logger.info("%s", _words(folder, summary, result.tests))
    return result.tests


def strata_sha256(output_dir: str) -> str:
    """Of `5_clusters/strata.tsv`: which strata a result is about."""
    return hashlib.sha256((stage_folder(output_dir, CLUSTERS) / "strata.tsv").read_bytes()).hexdigest()


def _checked(
    factors: Mapping[str, Any], tests: Mapping[str, Any], validation_share: float, n_folds: int, n_explained: int
) -> tuple[FactorSettings, TestSettings]:
    problems = []
    if not 0 <= validation_share < 0.9:
        problems.append(f"validation_share: expected 0 to 0.9, got {validation_share}.")
    if n_folds < 2:
        problems.append(f"n_folds: expected 2 or more, got {n_folds}.")
    if n_explained < 2:
        problems.append(f"n_explained: expected 2 or more, got {n_explained}; --use_images False does without images.")
    if problems:
        raise InputProblems("Phenotype settings", problems)
    try:
        return FactorSettings(**factors), TestSettings(**tests)
    except TypeError as error:  # a name that is no setting
        raise InputProblems("Phenotype settings", [str(error)]) from error


def read_clusters(output_dir: str, table: EmbeddingTable) -> tuple[pd.DataFrame, dict[str, Any]]:
    """`strata.tsv`, in the order of the embeddings, and `summary.json` of `5_clusters`.

    Raises:
        InputProblems: if they are not there, or are of an earlier version, another encoder or other people.
    """
    folder = stage_folder(output_dir, CLUSTERS)
    if not (folder / "summary.json").is_file() or not (folder / "strata.tsv").is_file():
        raise InputProblems("Strata", [f"No strata in {folder}: run clustering first."])
    found = read_json(folder / "summary.json")
    if "splines" not in found.get("settings", {}):
        raise InputProblems("Strata", [f"{folder} was written by an earlier version: run clustering again."])
    strata = pd.read_csv(folder / "strata.tsv", sep="\t", dtype={"participant_id": str}).set_index("participant_id")
    made_by = found["encoders"][0]["encoder_hash"]
    if made_by != table.encoder_hash:
        raise InputProblems(
            "Strata",
            [f"{folder} is of encoder {made_by}, the embeddings are of {table.encoder_hash}: run clustering again."],
        )
    differing = sorted(set(strata.index) ^ set(table.participant_ids))
    if differing:
        raise InputProblems(
            "Strata",
            [f"{folder} and the embeddings hold different people ({', '.join(differing[:3])}): run clustering again."],
        )
    return strata.loc[table.participant_ids], found


def groupings(
    cohort: Cohort, clusters: pd.DataFrame, found: Mapping[str, Any], num_workers: int, bar: Progress
) -> tuple[Grouping, Grouping]:
    """Strata of the codes as they are, and of the codes without covariates; one of the two is what clustering wrote."""
    without = cohort.without_covariates(cohort.codes, np.arange(len(cohort.table)))
    is_adjusted = bool(found["covariates"])
    given = Grouping(
        clusters["stratum"].to_numpy(),
        found["headline"],
        int(clusters["candidate_cluster"].max()),
        without if is_adjusted else cohort.codes,
    )
    if not cohort.has_covariates:
        return given, given
    stored = found["settings"]
    # the strata that count are looked for as thoroughly as clustering looks, the others as quickly as p allows
    few = max(OTHER_REFERENCES, math.ceil(1 / stored["significance"]) - 1)
    searched = find_strata(
        cohort.codes,
        cohort.families.tolist(),
        None if is_adjusted else cohort.taken_out,
        _settings(found, few if is_adjusted else stored["n_references"]),
        num_workers,
        bar.show,
    )
    other = Grouping(
        searched.labels + 1,
        searched.headline,
        int(searched.candidate_labels.max()) + 1,
        cohort.codes if is_adjusted else without,
    )
    return (other, given) if is_adjusted else (given, other)


def shares(
    output_dir: str, evidence: ImageEvidence, clusters: pd.DataFrame, codes: np.ndarray, table: EmbeddingTable
) -> dict[str, pd.DataFrame]:
    """Each modality's share of the strata and of the dimensions that they were found in."""
    space = read_stratifier(stage_folder(output_dir, CLUSTERS) / STRATIFIER).space
    moved = changes_in_space(evidence, space.axes, space.scale)
    own = clusters.index.get_indexer(pd.Index(evidence.explained_ids))
    labels = clusters["stratum"].to_numpy()[own] - 1
    return {
        "modality_share": modality_shares(moved, space.transform(codes)[own], labels, table.modalities),
        "dimension_share": dimension_shares(moved, table.modalities),
    }


def _linear(evidence: ImageEvidence | None) -> np.ndarray | None:
    return None if evidence is None else evidence.components


def _differences(
    network: FusionAutoencoder, clusters: pd.DataFrame, codes: np.ndarray, device: torch.device
) -> np.ndarray | None:
    exemplars = clusters.reset_index()[clusters["is_exemplar"].to_numpy()].sort_values("stratum").index
    try:
        return decoded_differences(network, codes, exemplars.tolist(), device)
    except ValueError as error:  # a decoder that needs the encoder's skips
        logger.warning("No maps of strata: %s", error)
        return None


def _covariates(people: pd.DataFrame, wanted: str | Sequence[str] | None, by_clustering: Sequence[str]) -> pd.DataFrame:
    table = covariate_columns(people, wanted if wanted is not None else (list(by_clustering) or USUAL))
    if by_clustering and set(by_clustering) != set(table):
        raise InputProblems(
            "Covariates",
            [
                f"Clustering took {', '.join(by_clustering)} out of the codes, --covariates names "
                f"{', '.join(table) or 'none'}: leave --covariates out, or cluster again with the same."
            ],
        )
    return table


def _kinds(people: pd.DataFrame, kinship: str | None) -> np.ndarray | None:
    if kinship is None:
        return None
    if kinship not in people:
        logger.warning("No column %s in the participants table: families of one size are exchanged.", kinship)
        return None
    return people[kinship].fillna("n/a").to_numpy(dtype=str)


def _settings(found: Mapping[str, Any], n_references: int) -> StrataSettings:
    stored = dict(found["settings"])
    stored["choice"] = ChoiceSettings(**stored["choice"])
    return replace(StrataSettings(**stored), n_references=n_references)


def _items_file(output_dir: str, phenotypes: str | None) -> Path:
    if phenotypes is not None:
        return Path(phenotypes)
    file = stage_folder(output_dir, PREPARED) / DATALIST
    source = read_json(file).get("dataset_dir", file) if file.is_file() else file
    table = beside_datalist(source, PHENOTYPES)
    if table is None:
        raise InputProblems(
            "Phenotypes", [f"The cohort has no {PHENOTYPES}: give --phenotypes, a table with a row per person."]
        )
    return table


def _draw(
    folder: Path,
    tables: Mapping[str, pd.DataFrame],
    primary: str,
    significance: float,
    differences: np.ndarray | None,
    network: FusionAutoencoder,
) -> None:
    save_figure(loadings_picture(tables["loadings"], tables["factors"]), folder / "loadings.png")
    continuum, tests, profile = (tables[name] for name in ("continuum", "tests", "profile"))
    save_figure(continuum_picture(continuum[continuum["version"] == primary]), folder / "continuum.png")
    tests = tests[tests["version"] == primary]
    if len(tests):
        picture = profile_picture(profile[profile["version"] == primary], tests, significance)
        save_figure(picture, folder / "profile.png")
    if differences is not None:
        scaling = network.scaling
        mean_image, brain = scaling.mean_image.cpu().numpy(), scaling.brain_mask.cpu().numpy()
        save_figure(maps_picture(differences, mean_image, brain, network.modalities), folder / "maps.png")


def _short(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def _words(folder: Path, summary: Mapping[str, Any], tests: pd.DataFrame) -> str:
    lines = [f"{summary['n_people']} people of {summary['n_families']} families: {summary['headline']}"]
    if len(tests):
        wide = tests.pivot(index=["factor", "name"], columns="version", values="q").fillna("")
        wide = wide[[version for version in (RAW, PHENOTYPE_ADJUSTED, BOTH_ADJUSTED, VALIDATION) if version in wide]]
        lines.append("q by version:\n" + wide.to_string(formatters=dict.fromkeys(wide, _short)))
    lines += summary["notes"]
    if summary["share_fixed"] > 0.2:
        lines.append(
            f"{summary['share_fixed']:.0%} of people are in families that are like no other and stay in place."
        )
    lines.append(f"Written: {folder}: tests.tsv, factors.tsv, continuum.tsv, pictures and more (docs/phenotypes.md)")
    lines.append("Next: python -m monai.bundle run reporting --config_file configs/report.yaml")
    return "\n".join(lines)
