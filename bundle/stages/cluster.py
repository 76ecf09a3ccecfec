"""Stage 5: strata, or the finding that there are none."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bundle.analysis.choice_settings import ChoiceSettings
from bundle.analysis.strata import Strata, stratifier_of
from bundle.analysis.strata_search import find_strata
from bundle.analysis.strata_settings import StrataSettings
from bundle.data.embedding_table import EmbeddingTable
from bundle.data.json_files import write_json
from bundle.data.people import check_categories, covariate_columns, people_table
from bundle.data.problems import InputProblems
from bundle.data.tables import write_table
from bundle.paths import CLUSTERS, STRATIFIER, bundle_root, shown_command, stage_folder
from bundle.pictures import save_figure
from bundle.running.interruption import nothing_written_if_interrupted
from bundle.running.progress import Progress
from bundle.sites.findings import SiteFindings, look_at_sites
from bundle.sites.inputs import harmonised_sites, site_labels, with_site
from bundle.strata.inputs import read_encoders
from bundle.strata.pictures import choice_picture, people_picture
from bundle.strata.stratifier_file import write_stratifier
from bundle.strata.tables import (
    agreement,
    candidate_rows,
    facts,
    gap_rows,
    null_rows,
    people_rows,
    stratum_rows,
)

logger = logging.getLogger(__name__)
AGREEMENT = "encoder_agreement"
SITE_TABLES = ("site_prediction", "sites", "site_covariates", "strata_sites")


def cluster(
    output_dir: str,
    embeddings: str | Sequence[str] | None,
    participants: str | None,
    covariates: str | Sequence[str],
    categories: Sequence[str],
    choice: Mapping[str, Any],
    site: str | None = None,
    harmonise: str | None = None,
    num_workers: int = 2,
    progress: bool = True,
    **settings: Any,
) -> list[Strata]:
    """Find strata in the embeddings of one encoder, or of several one by one; write `5_clusters/`.

    Args:
        output_dir: results folder.
        embeddings: an `embeddings.npz` (or its folder); None takes `<output_dir>/4_embeddings`. Several, of different
            encoders for the same participants, give a consensus too; the first one's strata are those of the stratifier.
        participants: table with `participant_id`, `family_id` and covariates; None takes that of the cohort in
            `1_prepared`.
        covariates: columns to take out of the embeddings, or `usual`.
        categories: columns that are categories even if numbers code them.
        choice: arguments of `ChoiceSettings`.
        site: column that says where participants were scanned; how far embeddings and strata follow it is then said. `site` need not be
            there.
        harmonise: `combat` takes what sites do out of the embeddings, before covariates; None does not.
        num_workers: processes for the null.
        progress: show bars.
        settings: other arguments of `StrataSettings`.

    Returns:
        What was found for each encoder.

    Raises:
        InputProblems: with all that is wrong with the input.
        SystemExit: with status 130 after Ctrl-C.
    """
    tables = read_encoders(output_dir, embeddings)
    try:
        chosen_settings = StrataSettings(choice=ChoiceSettings(**choice), **settings)
    except TypeError as error:  # a name that is no setting
        raise InputProblems("Clustering settings", [str(error)]) from error
    names = tables[0].participant_ids.tolist()
    people = people_table(names, output_dir, participants, with_site(categories, site))
    check_categories(people, categories)
    if people["family_id"].nunique() == len(people):
        logger.warning(
            "No participant shares a family_id: every participant counts as unrelated. If there are relatives, add that column."
        )
    labels = site_labels(people, site)
    taken_out = covariate_columns(people, covariates, site if harmonise else None)
    sites = harmonised_sites(people, labels, harmonise, taken_out)
    families = people["family_id"].tolist()
    results = []
    for table in tables:
        logger.info("%d participants, encoder %s (%s).", len(table), table.encoder_hash, ", ".join(table.modalities))
        _warn_of_different_maps(table)
        with nothing_written_if_interrupted(), Progress(progress) as bar:
            found = find_strata(table.codes, families, taken_out, chosen_settings, num_workers, bar.show, sites)
        results.append(found)
        logger.info("%s", found.headline)
    by_site = None
    if labels is not None:
        strata = results[0].labels + 1
        by_site = look_at_sites(
            tables[0].codes, labels, people, taken_out, sites, chosen_settings.splines, strata, chosen_settings.seed
        )
    folder = stage_folder(output_dir, CLUSTERS)
    _write(folder, tables, results, people, by_site)
    logger.info("%s", _words(folder, tables, results, by_site))
    return results


def _warn_of_different_maps(table: EmbeddingTable) -> None:
    if not table.present.all():
        counts = ", ".join(f"{count} from {inputs}" for inputs, count in Counter(table.inputs).most_common())
        logger.warning(
            "Embeddings were made from different maps (%s): strata may follow what is missing rather than the brain. "
            "Compare them with the column inputs of embeddings.tsv, or embed all participants from the same maps (--given).",
            counts,
        )


def _write(
    folder: Path,
    tables: Sequence[EmbeddingTable],
    results: Sequence[Strata],
    people: pd.DataFrame,
    by_site: SiteFindings | None,
) -> None:
    first = results[0]
    written = {
        "strata": people_rows(tables, results, people),
        "strata_summary": stratum_rows(first, people),
        "candidates": candidate_rows(first),
        "null": null_rows(first),
        "other_methods": first.others,
        "gaps": gap_rows(first),
    }
    for name in (AGREEMENT, *SITE_TABLES):  # of an earlier run with more encoders, or with sites
        (folder / f"{name}.tsv").unlink(missing_ok=True)
    if by_site is not None:
        written |= by_site.tables
    if len(results) > 1:
        written[AGREEMENT] = agreement(tables, results)
    for name, table in written.items():
        write_table(table, folder / f"{name}.tsv")
    site = None if by_site is None else by_site.facts
    write_json(facts(tables, results) | {"site": site}, folder / "summary.json")
    save_figure(choice_picture(first), folder / "choice.png")
    save_figure(people_picture(results, [table.encoder_hash for table in tables]), folder / "people.png")
    write_stratifier(stratifier_of(first, tables[0]), folder / STRATIFIER)


def _words(
    folder: Path, tables: Sequence[EmbeddingTable], results: Sequence[Strata], by_site: SiteFindings | None
) -> str:
    first = results[0]
    lines = [f"{len(first.labels)} participants, encoder {tables[0].encoder_hash}: {first.headline}"]
    lines.append(
        f"Stable partitions in {int((first.test.n_clusters > 1).sum())} of {len(first.test.references)} cohorts without strata; "
        f"{first.space.n_dimensions} dimensions hold {first.space.explained:.0%} of the embedding's variance."
    )
    if first.power:
        lines.append(first.power.sentence)
    lines += first.notes
    taken_out = ", ".join(first.covariates.columns) if first.covariates else "nothing"
    lines.append(f"Regressed out of the embeddings first: {taken_out}.")
    if by_site is not None:
        lines += by_site.facts["words"]
    if first.n_strata > 1:
        jaccard = np.nanmean(first.ballots.jaccard, axis=0)
        sizes = np.bincount(first.labels)
        lines += [
            f"  stratum {label + 1}: {sizes[label]} participants, Jaccard {jaccard[label]:.2f}"
            for label in range(first.n_strata)
        ]
    for row in first.others.itertuples():
        lines.append(f"  {row.method}: {row.n_clusters} clusters, agreement (AMI) {row.ami:.2f}")
    if len(results) > 1:
        ami = agreement(tables, results).drop(columns="encoder_hash").to_numpy()
        between = ami[np.triu_indices(len(ami), 1)]
        lines.append(f"Agreement between encoders (AMI): median {np.median(between):.2f}, least {between.min():.2f}.")
    lines.append(f"Written: {folder}: strata.tsv, summary.json, choice.png, people.png and more (docs/strata.md)")
    following = ("phenotyping", "phenotypes.yaml")
    if not (Path(bundle_root()) / "configs" / following[1]).is_file():  # a package does not hold it
        following = ("reporting", "report.yaml")
    lines.append(
        f"Next: {shown_command(*following)} --output_dir {folder.parent} (and those options given here that it has, too)"
    )
    lines.append(
        f"For new participants: {shown_command('assigning', 'assign.yaml')} "
        f"--stratifier {folder / STRATIFIER} --output_dir NEW --participants TABLE"
    )
    return "\n".join(lines)
