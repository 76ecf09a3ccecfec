"""The report's section on what the results do not say."""

from __future__ import annotations

from bundle.paths import CLUSTERS, PHENOTYPING
from bundle.report.blocks import Bullets, Section
from bundle.report.numbers import counted, digits, share
from bundle.report.results import Results


def limits_section(results: Results) -> Section:
    """What the results do not say."""
    items = [
        "Embeddings describe the maps that were given, in the participants that were given. Other scanners, ages or maps may "
        "give others.",
        "Whatever is labelled descriptive was seen on the same images that made the strata. It is no test and has "
        "no p-value.",
        "Covariates are regressed out by the regression that Methods describes; what they do otherwise stays in the embeddings.",
        "Strata are of this cohort until they are found in another one. Nothing here is for clinical use.",
    ]
    if results.has_strata is False:
        items.append("That no strata were found does not prove that there are none: small or faint ones can be missed.")
    facts = results.facts.get(PHENOTYPING, {})
    if facts.get("least_detectable") is not None and results.has_strata:
        items.append(
            f"With {counted(int(facts['n_people']), 'participant', 'participants')}, an effect below epsilon squared "
            f"{digits(3)(facts['least_detectable'])} would often be missed."
        )
    if facts.get("share_fixed"):
        items.append(
            f"{share(facts['share_fixed'])} of the participants are in families that could be exchanged with no other."
        )
    for stage in (CLUSTERS, PHENOTYPING):
        items += [str(note) for note in results.facts.get(stage, {}).get("notes", [])]
    return Section("limits", "Limits", [Bullets(items)])
