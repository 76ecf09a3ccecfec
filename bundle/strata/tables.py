"""What was found about strata, as tables and facts to be written."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from bundle.analysis.cluster_choice import Choice
from bundle.analysis.consensus import consensus_partition
from bundle.analysis.partition import by_size
from bundle.analysis.strata import Strata
from bundle.analysis.strata_quality import pairwise_ami
from bundle.data.embedding_table import EmbeddingTable
from bundle.paths import CLUSTERS, stage_folder

MOST_FOR_CONSENSUS = 10_000
"""Participants; the consensus needs a few matrices of all pairs in float64."""


def agreement(tables: Sequence[EmbeddingTable], results: Sequence[Strata]) -> pd.DataFrame:
    """Adjusted mutual information of every two encoders' strata: a row and a column per encoder."""
    hashes = [table.encoder_hash for table in tables]
    return pd.DataFrame(pairwise_ami([found.labels for found in results]), columns=hashes).assign(encoder_hash=hashes)


def people_rows(tables: Sequence[EmbeddingTable], results: Sequence[Strata], people: pd.DataFrame) -> pd.DataFrame:
    """A row per participant: stratum (1 is the largest), silhouette, and the chosen partition even if it is no better."""
    first = results[0]
    table = pd.DataFrame(
        {
            "participant_id": people.index,
            "stratum": first.labels + 1,
            "is_exemplar": np.isin(np.arange(len(people)), first.exemplars),
            "silhouette": first.silhouettes,
            "candidate_cluster": first.candidate_labels + 1,
            "outlying": first.outlying,
        }
    )
    for encoder, found in zip(tables[1:], results[1:], strict=True):
        table[f"stratum_of_{encoder.encoder_hash}"] = found.labels + 1
    if len(results) > 1 and len(people) <= MOST_FOR_CONSENSUS:
        table["consensus_stratum"] = consensus(results) + 1
    return table


def consensus(results: Sequence[Strata]) -> np.ndarray:
    """One partition from those of several encoders: `(N,)` labels.

    If most encoders find strata, those are put together, with the median of their numbers; otherwise there are none.
    """
    finding = [found for found in results if found.n_strata > 1]
    if 2 * len(finding) <= len(results):
        return np.zeros(len(results[0].labels), dtype=int)
    n_strata = int(np.median([found.n_strata for found in finding]))
    labels = consensus_partition([found.labels for found in finding], n_strata)
    return by_size(labels)


def stratum_rows(found: Strata, people: pd.DataFrame) -> pd.DataFrame:
    """A row per stratum: size, exemplar, Jaccard index with its 95 % range over half-samples, silhouette."""
    sizes = np.bincount(found.labels)
    jaccard = pd.DataFrame(found.ballots.jaccard)  # its statistics leave NaN out
    return pd.DataFrame(
        {
            "stratum": np.arange(1, found.n_strata + 1),
            "size": sizes,
            "share": sizes / sizes.sum(),
            "exemplar": people.index[found.exemplars],
            "jaccard": jaccard.mean().to_numpy(),
            "jaccard_low": jaccard.quantile(0.025).to_numpy(),
            "jaccard_high": jaccard.quantile(0.975).to_numpy(),
            "silhouette": [found.silhouettes[found.labels == label].mean() for label in range(found.n_strata)],
        }
    )


def gap_rows(found: Strata) -> pd.DataFrame:
    """A row per pair of neighbouring clusters of the choice, see `gap_test.Gap`; clusters from 1 as in `candidate_cluster`."""
    chosen = found.choice.chosen
    columns = ["cluster", "neighbour", "n_between", "depth", "p_value"]
    if chosen is None:
        return pd.DataFrame(columns=columns)
    rows = []
    for pair, gap in zip(found.choice_pairs, chosen.gaps, strict=True):
        known = [0, np.nan, np.nan] if gap is None else [gap.n_between, gap.depth, float(norm.sf(gap.z_value))]
        rows.append([pair[0] + 1, pair[1] + 1, *known])
    return pd.DataFrame(rows, columns=columns)


def gap_facts(choice: Choice) -> dict[str, float | int | None]:
    """Over the choice's clustering and finer ones: how many show something, and the means; plain values for JSON."""
    chosen = choice.chosen
    seen = bool(chosen and chosen.seen)
    return {
        "n_clusterings": len(chosen.seen) if chosen else 0,
        "depth": chosen.depth if chosen and seen else None,
        "z_value": chosen.z_value if chosen and seen else None,
        "border_agreement": chosen.border_agreement if chosen else None,
    }


def null_rows(found: Strata) -> pd.DataFrame:
    """A row per cohort without strata; evidence is missing where no partition was stable."""
    test = found.test
    evidence = np.where(np.isfinite(test.references), test.references, np.nan)
    return pd.DataFrame({"evidence": evidence, "stability": test.stabilities, "n_clusters": test.n_clusters})


def candidate_rows(found: Strata) -> pd.DataFrame:
    """A row per number of clusters that was considered."""
    candidates = found.choice.candidates
    return pd.DataFrame(
        {
            "n_clusters": [candidate.n_clusters for candidate in candidates],
            "smallest_cluster": [int(np.bincount(candidate.labels).min()) for candidate in candidates],
            "stability": [candidate.stability.mean() for candidate in candidates],
            "stability_low": [candidate.stability.min() for candidate in candidates],
            "stability_high": [candidate.stability.max() for candidate in candidates],
            "border_agreement": [candidate.border_agreement for candidate in candidates],
            "chosen": [candidate is found.choice.chosen for candidate in candidates],
        }
    )


def facts(tables: Sequence[EmbeddingTable], results: Sequence[Strata]) -> dict[str, Any]:
    """The headline, the figures behind it and the settings, as plain values for JSON."""
    first = results[0]
    values: dict[str, Any] = {
        "headline": first.headline,
        "n_strata": first.n_strata,
        "p_value": first.test.p_value,
        "evidence": first.test.observed if np.isfinite(first.test.observed) else None,
        "stability": first.choice.stability,
        "n_people": len(first.labels),
        "covariates": first.covariates.columns if first.covariates else [],
        "n_dimensions": first.space.n_dimensions,
        "explained": first.space.explained,
        "effective_rank": first.effective_rank,
        "hubness": first.hubness,
        "gaps": gap_facts(first.choice),
        "n_outlying": int(first.outlying.sum()),
        "power": first.power.facts() if first.power else None,
        "notes": first.notes,
        "settings": asdict(first.settings),
        "encoders": [
            {"encoder_hash": table.encoder_hash, "headline": found.headline, "n_strata": found.n_strata}
            for table, found in zip(tables, results, strict=True)
        ],
    }
    return values


def strata_sha256(output_dir: str) -> str:
    """Of `5_clusters/strata.tsv`: which strata a result is about."""
    return hashlib.sha256((stage_folder(output_dir, CLUSTERS) / "strata.tsv").read_bytes()).hexdigest()
