"""What stands first on the page: what was found, in sentences and in figures."""

from __future__ import annotations

from bundle.evaluation.linear_baselines import linear_verdict
from bundle.paths import CLUSTERS, EVALUATION, PHENOTYPING
from bundle.report.numbers import count, counted, digits, listed, p_is
from bundle.report.results import Results

NO_STRATA = (
    "No discrete strata were found. This is a normal result: participants may differ from each other continuously, without "
    "falling into groups."
)


def headline(results: Results) -> list[str]:
    """What was found, in plain words, the most important first."""
    found = results.facts.get(CLUSTERS)
    phenotypes = results.facts.get(PHENOTYPING)
    sentences = []
    if results.has_strata is None:
        sentences.append("No participant has looked for strata yet.")
        summary = results.table(EVALUATION, "summary")
        if summary is not None:
            sentences.append(linear_verdict(summary))
    elif not results.has_strata:
        sentences.append(NO_STRATA)
    if found is not None:
        people = counted(int(found["n_people"]), "participant", "participants")
        if results.has_strata and results.has_clusters:
            sentences.append(
                f"{people} fall into {found['n_strata']} strata ({p_is(found['p_value'])}): they are more clearly "
                "apart than in cohorts without strata, and there are gaps between them."
            )
        elif results.has_clusters:
            sentences.append(
                f"Before covariates were regressed out, the embeddings of {people} had {found['headline']}."
            )
        else:
            _, _, reason = str(found["headline"]).rstrip(")").partition("(")
            sentences.append(f"Clustering looked at {people}" + (f": {reason}." if reason else "."))
    if phenotypes is not None:
        if results.has_strata and not results.has_clusters:
            sentences.insert(0, f"Once covariates were regressed out: {phenotypes['strata_headlines']['adjusted']}.")
        sentences.append(str(phenotypes["headline"]))
    return sentences


def key_figures(results: Results) -> list[tuple[str, str]]:
    """(what, how much), for the box beneath the headline."""
    figures: list[tuple[str, str]] = []
    if results.embeddings is not None:
        figures.append((count(len(results.embeddings)), "participants with an embedding"))
        figures.append(
            (count(results.embeddings.codes.shape[1]), f"values from {listed(results.embeddings.modalities)}")
        )
    summary = results.table(EVALUATION, "summary")
    if summary is not None:
        figures.append((digits(2)(summary["r2"].mean()), "mean R² on participants not trained on (1 is perfect)"))
    found = results.facts.get(CLUSTERS)
    if found is not None:
        figures.append(
            (str(found["n_strata"]) if results.has_clusters else "none", f"strata, {p_is(found['p_value'])}")
        )
    tests = results.table(PHENOTYPING, "tests")
    if tests is not None:
        own = tests[tests["version"] == results.facts[PHENOTYPING]["primary"]]
        if len(own):
            figures.append(
                (f"{(own['found'] == 'True').sum()} of {len(own)}", "phenotype factors differ between strata")
            )
    return figures
