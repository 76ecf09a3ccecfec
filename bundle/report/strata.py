"""The report's section on strata and their evidence, or on the search for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bundle.paths import CLUSTERS
from bundle.report.blocks import Column, Section, Table, Text, with_interval
from bundle.report.numbers import count, digits, p_is, share
from bundle.report.results import Results
from bundle.report.stage_blocks import absent, picture, table


def strata_section(results: Results) -> Section:
    """How clear the strata are, or why there are none."""
    section = Section("strata", "Strata and their evidence" if results.has_clusters else "The search for strata")
    found = results.facts.get(CLUSTERS)
    if found is None:
        section.blocks.append(absent(results, CLUSTERS))
        return section
    section.blocks.append(Text(_evidence(results, found)))
    section.blocks += picture(
        results,
        CLUSTERS,
        "choice.png",
        "Three panels: stability of each number of clusters, participants across the least deep gap, and evidence for gaps against "
        "cohorts without strata.",
        "Left: how well the worst cluster comes back when a fold of families is left out. Middle: participants along "
        "the line between two clusters, each by clusterings that did not see them. Right: evidence for gaps between the "
        f"chosen clusters against the same choice on cohorts without strata. Numbers: {CLUSTERS}/candidates.tsv, gaps.tsv, "
        "null.tsv.",
    )
    section.blocks += table(
        results, CLUSTERS, "candidates",
        [
            Column("n_clusters", "Clusters", count),
            Column("smallest_cluster", "Smallest cluster", count),
            Column("stability", "Stability (Jaccard)", digits(2)),
            Column("stability_low", "least", digits(2)),
            Column("stability_high", "most", digits(2)),
            Column("chosen", "Chosen", _yes),
        ],
        "Numbers of clusters that were considered",
        note="Jaccard index of the cluster that comes back worst when a fold of families is left out, 1 is full agreement.",
    )  # fmt: skip
    if results.has_clusters:
        section.blocks += _strata_tables(results)
    section.blocks += picture(
        results,
        CLUSTERS,
        "people.png",
        "Participants along the axes that were clustered"
        + (", coloured by stratum, exemplars starred." if results.has_clusters else "."),
        "The same participants in the space that was clustered, covariates regressed out. A picture is no evidence.",
        descriptive=True,
    )
    section.blocks += table(
        results, CLUSTERS, "other_methods",
        [
            Column("method", "Method"),
            Column("n_clusters", "Clusters", count),
            Column("share_noise", "Left unclustered", share),
            Column("ami", "Agreement (AMI)", digits(2)),
        ],
        "What other methods make of the same participants",
        note="AMI: adjusted mutual information with the chosen partition, 1 is full agreement, 0 chance.",
        descriptive=True,
    )  # fmt: skip
    agreement = results.table(CLUSTERS, "encoder_agreement")
    if agreement is not None:
        names = [name for name in agreement.columns if name != "encoder_hash"]
        columns = [Column("encoder_hash", "Encoder"), *[Column(name, name, digits(2)) for name in names]]
        section.blocks += table(results, CLUSTERS, "encoder_agreement", columns, "Agreement (AMI) between encoders")
    return section


def _yes(value: Any) -> str:
    return "yes" if str(value) == "True" else ""


def _evidence(results: Results, found: Mapping[str, Any]) -> str:
    null = results.table(CLUSTERS, "null")
    sentences = [f"Result: {found['headline']}."]
    if null is not None:
        stable = int((null["n_clusters"].astype(float) > 1).sum())
        sentences.append(
            f"The whole choice was repeated on {len(null)} cohorts without strata, {stable} of which had a stable "
            f"partition. {p_is(1 / (len(null) + 1))} is the least that so many cohorts can give."
        )
    gaps = found.get("gaps") or {}
    if gaps.get("border_agreement") is not None:
        sentences.append(
            f"With one and two clusters more, the clusters agree with unions of the finer ones by {digits(2)(gaps['border_agreement'])} "
            "(Jaccard index; 1: borders stay)."
        )
    if gaps.get("depth") is not None:
        sentences.append(
            f"Over {gaps['n_clusterings']} clusterings, gaps have a depth of {digits(2)(gaps['depth'])} (0 is a continuum, 1 as "
            f"deep as between Gaussian groups), {digits(1)(gaps['z_value'])} standard deviations from the flattest continuum."
        )
    if found.get("n_outlying"):
        sentences.append(
            f"{count(found['n_outlying'])} outlying participants were set aside first, too few for a stratum."
        )
    if found.get("power"):
        sentences.append(found["power"]["sentence"])
    return " ".join(sentences)


def _strata_tables(results: Results) -> list[Table]:
    return [
        *table(
            results, CLUSTERS, "strata_summary",
            [
                Column("stratum", "Stratum", count),
                Column("size", "Participants", count),
                Column("share", "Share", share),
                *with_interval("jaccard", "Jaccard", digits(2), "jaccard_low", "jaccard_high"),
                Column("silhouette", "Silhouette", digits(2)),
            ],
            "The strata",
            note="Jaccard: how much of the stratum half-samples find again, with the range of 95 % of them.",
        ),
        *table(
            results, CLUSTERS, "gaps",
            [
                Column("cluster", "Stratum", count),
                Column("neighbour", "Neighbour", count),
                Column("n_between", "Participants in between", count),
                Column("depth", "Depth", digits(2)),
                Column("p_value", "p", digits(3)),
            ],
            "Gaps between neighbouring strata",
            note="Depth: 0 is flat as a continuum, 1 as deep as between two Gaussian groups of this size and distance; p "
            "against the flattest of all continua.",
        ),
    ]  # fmt: skip
