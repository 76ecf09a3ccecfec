"""Stage 6: strata, and the embedding as a continuum, against phenotype factors."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from monai.data import Dataset

from bundle.analysis.discovery import validate
from bundle.analysis.exchange import exchangeable_families, share_fixed
from bundle.analysis.groupings import compare_versions, groupings, is_of_adjusted_codes, stored_settings
from bundle.analysis.phenotype_cohort import Cohort, make_factors
from bundle.analysis.phenotyping import BOTH_ADJUSTED, PHENOTYPE_ADJUSTED, RAW, VALIDATION, people_of_strata, together
from bundle.data.json_files import write_json
from bundle.data.problems import InputProblems
from bundle.data.tables import write_table
from bundle.paths import CLUSTERS, PHENOTYPING, STRATIFIER, shown_command, stage_folder
from bundle.phenotypes.image_evidence import ImageEvidence, modality_tables, read_images
from bundle.phenotypes.inputs import Given, checked_settings, read_given
from bundle.phenotypes.notes import notes_on
from bundle.phenotypes.pictures import continuum_picture, loadings_picture, profile_picture
from bundle.phenotypes.strata_maps import exemplar_differences, maps_picture, write_maps
from bundle.phenotypes.tables import Findings, facts, result_tables
from bundle.pictures import save_figure
from bundle.running.interruption import nothing_written_if_interrupted
from bundle.running.progress import Progress
from bundle.running.software_versions import software_versions
from bundle.sites.phenotypes import phenotypes_by_site
from bundle.strata.stratifier_file import read_stratifier
from bundle.strata.tables import strata_sha256
from bundle.trained.weights import load_network
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
        covariates: regressed out of embeddings and scores; None takes those that clustering took out, or the usual ones.
        categories: as for clustering.
        site: as for clustering.
        harmonise: `combat` harmonises factor scores over sites; embeddings are, if clustering did.
        kinship: column of participants that tells members of a family apart, such as zygosity; None, or a column that is
            not there, exchanges families of one size.
        factors: arguments of `FactorSettings`.
        tests: arguments of `TestSettings`.
        validation_share: of families that strata and factors are kept from, for a test of their own; 0 for none.
        n_folds: of whole families, for what predicts each factor.
        use_images: for linear fusion, each modality's share, and maps of strata.
        n_explained: participants whose images are encoded with one modality at a time taken away.
        network: built from the config, without weights yet.
        checkpoint: its weights; None takes `<output_dir>/2_training/model.pt`.
        dataset: participants of `1_prepared`, preprocessed.
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
    given = read_given(
        output_dir,
        phenotypes,
        dictionary,
        id_column,
        embeddings,
        participants,
        covariates,
        categories,
        site,
        harmonise,
        kinship,
        factor_settings,
    )
    cohort = given.cohort
    fixed = _share_fixed(cohort)
    made = make_factors(cohort, cohort.rows, factor_settings, test_settings.seed)
    scores = made.model.scores(made.values)
    adjusted = cohort.adjusted_scores(scores, cohort.rows)
    evidence = None
    with nothing_written_if_interrupted():
        if use_images:
            network = load_network(network, checkpoint, output_dir, device)
            evidence = read_images(network, dataset, cohort.table, n_explained, device, test_settings.seed, progress)
        with Progress(progress) as bar:
            raw, both = groupings(cohort, given.clusters, given.found, num_workers, bar.show)
            comparisons = compare_versions(cohort, scores, adjusted, raw, both, made.names, test_settings)
            if validation_share:
                settings = stored_settings(given.found, given.found["settings"]["n_references"])
                comparisons.append(
                    validate(cohort, settings, validation_share, factor_settings, test_settings, num_workers, bar.show)
                )
    found = Findings(made, scores, adjusted, raw, both, together(comparisons), evidence)
    tables = result_tables(given, found, n_folds, test_settings)
    tables["strata_people"], not_described = _people_of_strata(cohort, found)
    notes = [*dict.fromkeys(found.compared.notes), *notes_on(cohort, found, not_described)]
    by_site = phenotypes_by_site(cohort, scores, adjusted, both, made.names, test_settings)
    if by_site is not None:
        tables |= by_site.tables
    shares: dict[str, pd.DataFrame] = {}
    differences = None
    if evidence is not None and is_of_adjusted_codes(given.found) != cohort.has_covariates:
        notes.append(
            "Clustering took no covariates out, so its strata are not those that count here: no modality shares and "
            "maps. Cluster with covariates for these."
        )
    elif evidence is not None:
        shares, differences = _by_images(output_dir, given, found, evidence, network, device)
    tables |= shares
    summary = facts(cohort, found, tables, factor_settings, test_settings) | {
        "notes": notes,
        "site": None if by_site is None else by_site.facts,
        "exchange": f"whole families of one size{'' if cohort.kinds is None else f' and the same {kinship}'}",
        "share_fixed": fixed,
        "validation_share": validation_share,
        "n_folds": n_folds,
        "strata_sha256": strata_sha256(output_dir),
        "versions": software_versions(),
    }
    folder = stage_folder(output_dir, PHENOTYPING)
    _remove_earlier(folder)
    if differences is not None:
        write_maps(differences, dataset.data[0], cohort.table.modalities, folder / "maps")
        _draw_maps(folder, differences, network)
    _write(folder, tables, summary)
    logger.info("%s", _words(folder, summary, tables["tests"]))
    return tables["tests"]


def _share_fixed(cohort: Cohort) -> float:
    """Share of the participants who are analysed whose families can be exchanged with no other."""
    rows = cohort.rows
    fixed = share_fixed(exchangeable_families(cohort.families[rows], cohort.kinds_of(rows)))
    if fixed == 1:
        problem = (
            "No two families are alike, so nothing can be exchanged: --kinship '$None' exchanges families of one size."
        )
        raise InputProblems("Families", [problem])
    return fixed


def _people_of_strata(cohort: Cohort, found: Findings) -> tuple[pd.DataFrame, list[str]]:
    """Who is in each stratum, by all that is known of participants; and variables that nothing can be said of."""
    describing = cohort.people.iloc[cohort.rows].drop(columns="family_id")
    describing = describing.join(cohort.items.demographics, rsuffix="_item")
    return people_of_strata(describing, found.both.labels[cohort.rows])


def _by_images(
    output_dir: str,
    given: Given,
    found: Findings,
    evidence: ImageEvidence,
    network: FusionAutoencoder,
    device: torch.device,
) -> tuple[dict[str, pd.DataFrame], np.ndarray | None]:
    """Each modality's shares, and maps of strata if there are some that can be drawn."""
    space = read_stratifier(stage_folder(output_dir, CLUSTERS) / STRATIFIER).space
    shares = modality_tables(evidence, space, given.clusters["stratum"], found.both.codes, given.cohort.table)
    if found.both.n_strata < 2:
        return shares, None
    return shares, exemplar_differences(network, given.clusters, given.cohort.codes, device)


def _remove_earlier(folder: Path) -> None:
    """What an earlier run found goes first: a page of two runs would be wrong without a sign."""
    for name in ("summary.json", *OPTIONAL):
        (folder / name).unlink(missing_ok=True)
    for old in (folder / "maps").glob("stratum_*.nii.gz"):
        old.unlink()


def _write(folder: Path, tables: Mapping[str, pd.DataFrame], summary: Mapping[str, Any]) -> None:
    """Tables, pictures and the summary; the summary last: with it the folder counts as whole."""
    for name, content in tables.items():
        write_table(content, folder / f"{name}.tsv")
    _draw(folder, tables, summary["primary"], summary["significance"])
    write_json(summary, folder / "summary.json")


def _draw(folder: Path, tables: Mapping[str, pd.DataFrame], primary: str, significance: float) -> None:
    save_figure(loadings_picture(tables["loadings"], tables["factors"]), folder / "loadings.png")
    continuum, tests, profile = (tables[name] for name in ("continuum", "tests", "profile"))
    save_figure(continuum_picture(continuum[continuum["version"] == primary]), folder / "continuum.png")
    tests = tests[tests["version"] == primary]
    if len(tests):
        picture = profile_picture(profile[profile["version"] == primary], tests, significance)
        save_figure(picture, folder / "profile.png")


def _draw_maps(folder: Path, differences: np.ndarray, network: FusionAutoencoder) -> None:
    mean_image, brain = network.scaling.mean_image.cpu().numpy(), network.scaling.brain_mask.cpu().numpy()
    save_figure(maps_picture(differences, mean_image, brain, network.modalities), folder / "maps.png")


def _short(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def _words(folder: Path, summary: Mapping[str, Any], tests: pd.DataFrame) -> str:
    lines = [f"{summary['n_people']} participants of {summary['n_families']} families: {summary['headline']}"]
    if len(tests):
        wide = tests.pivot(index=["factor", "name"], columns="version", values="q").fillna("")
        wide = wide[[version for version in (RAW, PHENOTYPE_ADJUSTED, BOTH_ADJUSTED, VALIDATION) if version in wide]]
        lines.append("q by version:\n" + wide.to_string(formatters=dict.fromkeys(wide, _short)))
    lines += summary["notes"]
    if summary["share_fixed"] > 0.2:
        lines.append(
            f"{summary['share_fixed']:.0%} of participants are in families that are like no other and stay in place."
        )
    lines.append(f"Written: {folder}: tests.tsv, factors.tsv, continuum.tsv, pictures and more (docs/phenotypes.md)")
    lines.append(f"Next: {shown_command('reporting', 'report.yaml')} --output_dir {folder.parent}")
    return "\n".join(lines)
