"""Stage 6: strata, and the code as a continuum, against phenotype factors."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from monai.data import Dataset

from bundle.analysis.contributions import covariate_shares, dimension_shares, modality_shares
from bundle.analysis.discovery import validate
from bundle.analysis.exchange import exchangeable_families, share_fixed
from bundle.analysis.groupings import (
    compare_versions,
    compare_with_continuum,
    groupings,
    is_of_adjusted_codes,
    stored_settings,
)
from bundle.analysis.phenotype_cohort import Cohort, analysed_people, make_factors
from bundle.analysis.phenotyping import (
    BOTH_ADJUSTED,
    PHENOTYPE_ADJUSTED,
    RAW,
    VALIDATION,
    people_of_strata,
    together,
)
from bundle.data.atomic import atomic_path
from bundle.data.embedding_table import EmbeddingTable, read_embedding_table
from bundle.data.items import read_items
from bundle.data.people import people_table
from bundle.data.problems import InputProblems
from bundle.data.tables import write_table
from bundle.paths import CLUSTERS, EMBEDDINGS, PHENOTYPING, STRATIFIER, stage_folder
from bundle.phenotypes.inputs import checked_settings, chosen_covariates, items_file, kinds_of_people, read_clusters
from bundle.phenotypes.notes import notes_on
from bundle.phenotypes.pictures import continuum_picture, loadings_picture, maps_picture, profile_picture
from bundle.phenotypes.tables import factor_rows, facts, item_rows, loading_rows, score_rows
from bundle.pictures import save_figure
from bundle.sites.inputs import site_labels, with_site
from bundle.sites.phenotypes import covariates_of_scores, phenotypes_by_site, sites_of_codes
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
OPTIONAL = (
    *("modality_share.tsv", "dimension_share.tsv", "profile.png", "maps.png"),
    *("factors_sites.tsv", "site_means.tsv", "site_tests.tsv"),
)


def phenotype(
    output_dir: str,
    phenotypes: str | None,
    dictionary: str | Mapping[str, Any] | None,
    id_column: str,
    embeddings: str | None,
    participants: str | None,
    covariates: str | Sequence[str] | None,
    categories: Sequence[str],
    site: str | None,
    harmonise: str | None,
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
        site: as for clustering.
        harmonise: `combat` harmonises factor scores over sites; codes are, if clustering did.
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
    factor_settings, test_settings = checked_settings(factors, tests, validation_share, n_folds, n_explained)
    table = read_embedding_table(embeddings if embeddings else stage_folder(output_dir, EMBEDDINGS))
    clusters, found = read_clusters(output_dir, table)
    people = people_table(table.participant_ids.tolist(), output_dir, participants, with_site(categories, site))
    labels = site_labels(people, site)
    sites = sites_of_codes(people, labels, found)
    taken_out = chosen_covariates(people, covariates, found["covariates"], None if sites is None else site)
    out_of_scores, sites_of_scores = covariates_of_scores(people, taken_out, labels, sites, harmonise)
    items = read_items(items_file(output_dir, phenotypes), dictionary, id_column)
    rows, flow, left_out = analysed_people(items, people, factor_settings)
    kinds = kinds_of_people(people, kinship)
    codes = table.codes.astype(float)
    cohort = Cohort(
        table=table,
        codes=codes,
        people=people,
        taken_out=taken_out,
        out_of_scores=out_of_scores,
        items=items,
        rows=rows,
        kinds=kinds,
        splines=found["settings"]["splines"],
        labels=labels,
        sites=sites,
        sites_of_scores=sites_of_scores,
    )
    fixed = _share_fixed(cohort)
    made = make_factors(cohort, rows, factor_settings, test_settings.seed)
    scores = made.model.scores(made.values)
    adjusted = cohort.adjusted_scores(scores, rows)
    evidence = None
    try:
        if use_images:
            network = load_network(network, checkpoint, output_dir, device)
            evidence = read_images(network, dataset, table, n_explained, device, test_settings.seed, progress)
        with Progress(progress) as bar:
            raw, both = groupings(cohort, clusters, found, num_workers, bar.show)
            comparisons = compare_versions(cohort, scores, adjusted, raw, both, made.names, test_settings)
            if validation_share:
                settings = stored_settings(found, found["settings"]["n_references"])
                comparisons.append(
                    validate(cohort, settings, validation_share, factor_settings, test_settings, num_workers, bar.show)
                )
    except KeyboardInterrupt:
        logger.warning("Interrupted; nothing was written, the same command starts again.")
        raise SystemExit(130) from None
    result = together(comparisons)
    describing = people.iloc[rows].drop(columns="family_id").join(items.demographics, rsuffix="_item")
    who, not_described = people_of_strata(describing, both.labels[rows])
    notes = [*dict.fromkeys(result.notes), *notes_on(cohort, raw, both, made, scores, not_described)]
    linear = None if evidence is None else evidence.components
    tables = {
        "flow": flow,
        "left_out": left_out,
        "items": item_rows(made, items),
        "factors": factor_rows(made),
        "loadings": loading_rows(made),
        "scores": score_rows(people.index[rows], scores, adjusted, made).assign(
            stratum_raw=raw.labels[rows], stratum_adjusted=both.labels[rows]
        ),
        "code_covariates": covariate_shares(codes, shown_covariates(cohort), cohort.splines),
        "tests": result.tests,
        "pairs": result.pairs,
        "profile": result.profile,
        "strata_people": who,
        "continuum": compare_with_continuum(cohort, raw, both, scores, linear, made.names, n_folds, test_settings),
    }
    by_site = phenotypes_by_site(cohort, scores, adjusted, both, made.names, test_settings)
    if by_site is not None:
        tables |= by_site.tables
    differences = None
    is_of_primary = is_of_adjusted_codes(found) == cohort.has_covariates
    if evidence is not None and is_of_primary:
        tables |= shares(output_dir, evidence, clusters, both.codes, table)
        if both.n_strata > 1:
            differences = _differences(network, clusters, codes, device)
    elif evidence is not None:
        notes.append(
            "Clustering took no covariates out, so its strata are not those that count here: no modality shares and "
            "maps. Cluster with covariates for these."
        )
    summary = facts(cohort, raw, both, made, tables, factor_settings, test_settings) | {
        "notes": notes,
        "site": None if by_site is None else by_site.facts,
        "exchange": f"whole families of one size{'' if kinds is None else f' and the same {kinship}'}",
        "share_fixed": fixed,
        "validation_share": validation_share,
        "n_folds": n_folds,
        "strata_sha256": strata_sha256(output_dir),
        "versions": software_versions(),
    }
    folder = stage_folder(output_dir, PHENOTYPING)
    _remove_earlier(folder)
    if differences is not None:
        write_maps(differences, dataset.data[0], table.modalities, folder / "maps")
    for name, content in tables.items():
        write_table(content, folder / f"{name}.tsv")
    _draw(folder, tables, cohort.primary, test_settings.significance, differences, network)
    with atomic_path(folder / "summary.json") as temporary:  # last: with it the folder counts as whole
        temporary.write_text(json.dumps(summary, indent=1))
    logger.info("%s", _words(folder, summary, result.tests))
    return result.tests


def shown_covariates(cohort: Cohort) -> pd.DataFrame:
    """Covariates whose share of the codes is told: those that are taken out, and the site that codes are harmonised over."""
    if cohort.sites is None:
        return cohort.taken_out
    return cohort.taken_out.assign(**{str(cohort.sites.labels.name): cohort.sites.labels})


def strata_sha256(output_dir: str) -> str:
    """Of `5_clusters/strata.tsv`: which strata a result is about."""
    return hashlib.sha256((stage_folder(output_dir, CLUSTERS) / "strata.tsv").read_bytes()).hexdigest()


def _share_fixed(cohort: Cohort) -> float:
    """Share of the people who are analysed whose families can be exchanged with no other."""
    rows = cohort.rows
    fixed = share_fixed(exchangeable_families(cohort.families[rows], cohort.kinds_of(rows)))
    if fixed == 1:
        problem = (
            "No two families are alike, so nothing can be exchanged: --kinship '$None' exchanges families of one size."
        )
        raise InputProblems("Families", [problem])
    return fixed


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


def _differences(
    network: FusionAutoencoder, clusters: pd.DataFrame, codes: np.ndarray, device: torch.device
) -> np.ndarray | None:
    exemplars = clusters.reset_index()[clusters["is_exemplar"].to_numpy()].sort_values("stratum").index
    try:
        return decoded_differences(network, codes, exemplars.tolist(), device)
    except ValueError as error:  # a decoder that needs the encoder's skips
        logger.warning("No maps of strata: %s", error)
        return None


def _remove_earlier(folder: Path) -> None:
    """What an earlier run found goes first: a page of two runs would be wrong without a sign."""
    for name in ("summary.json", *OPTIONAL):
        (folder / name).unlink(missing_ok=True)
    for old in (folder / "maps").glob("stratum_*.nii.gz"):
        old.unlink()


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
    lines.append(
        f"Next: python -m monai.bundle run reporting --config_file configs/report.yaml --output_dir {folder.parent}"
    )
    return "\n".join(lines)
