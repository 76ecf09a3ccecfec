"""The methods paragraph, from the settings that were really used. What is not known is left out."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from bundle.analysis.cluster_choice import LEAST_FAMILIES, LEAST_PEOPLE
from bundle.data.datalist import SECTIONS
from bundle.paths import CLUSTERS, CROSS_VALIDATION, EMBEDDINGS, EVALUATION, PHENOTYPING, TRAINING
from bundle.report.blocks import Section, Table, Text
from bundle.report.numbers import count, counted, digits, listed, p_is, setting, share
from bundle.report.results import Results

HASHED = ((EMBEDDINGS, "embeddings.npz"), (CLUSTERS, "summary.json"), (PHENOTYPING, "summary.json"))


def methods_section(results: Results) -> Section:
    """Paragraphs and a table of versions, seeds and hashes."""
    paragraphs = [_people(results), _network(results), _folds(results), _strata(results), _phenotypes(results)]
    table = Table("Versions, seeds and hashes", ["What", "Value"], _provenance(results), [True, True], "")
    return Section("methods", "Methods", [*[Text(words) for words in paragraphs if words], table])


def _people(results: Results) -> str:
    datalist = results.datalist
    sizes = {name: len(datalist.get(name, [])) for name in SECTIONS}
    if not sum(sizes.values()):
        return ""
    families = {item.get("family_id") for name in SECTIONS for item in datalist.get(name, [])}
    maps = f"{listed(datalist['modalities'])} maps" if "modalities" in datalist else "Maps"
    grid = f" on a grid of {_grid(datalist['spatial_size'])} voxels" if "spatial_size" in datalist else ""
    return (
        f"{maps} of {count(sum(sizes.values()))} participants in {counted(len(families), 'family', 'families')}{grid} were "
        f"split by whole families: {sizes['training']} for training, {sizes['validation']} for validation, "
        f"{sizes['test']} for testing."
    )


def _network(results: Results) -> str:
    sentences = []
    built = results.checkpoint.get("signature", {})
    if built:
        details = [
            f"{name.replace('_', ' ')} {setting(value)}"
            for name, value in built.items()
            if name not in ("network", "modalities", "spatial_size")
        ]
        sentences.append(f"One network ({built['network']}: {'; '.join(details)}) fused {listed(built['modalities'])}.")
    if results.embeddings is not None:
        sentences.append(
            f"Encoder {results.embeddings.encoder_hash} gave each of {count(len(results.embeddings))} participants an embedding "
            f"of {count(results.embeddings.codes.shape[1])} values."
        )
    log = results.table(TRAINING, "log")
    if log is not None:
        best = log.loc[log["r2"].idxmax()]
        how = [
            f"{name.replace('_', ' ')} {_setting(value)}"
            for name, value in results.checkpoint.get("settings", {}).items()
            if name != "people"
        ]
        used = f" ({'; '.join(how)})" if how else ""
        sentences.append(
            f"The network was trained for {counted(int(log['epoch'].max()), 'epoch')}{used}; the weights of epoch "
            f"{count(best['epoch'])}, with the best validation R² ({digits(3)(best['r2'])}), were kept."
        )
    people = results.table(EVALUATION, "people")
    if people is not None:
        n_people = people["participant_id"].nunique()
        sentences.append(
            f"Reconstruction was measured on {counted(n_people, 'participant', 'participants')} that it was not trained on, "
            "against a principal component analysis of the training participants with the best number of components for "
            "each map."
        )
    return " ".join(sentences)


def _folds(results: Results) -> str:
    facts = results.facts.get(CROSS_VALIDATION)
    if facts is None:
        return ""
    alike = f", alike in {listed(facts['stratified'])}," if facts["stratified"] else ""
    epochs = facts["made_with"].get("max_epochs")
    trained = f" for {counted(int(epochs), 'epoch')}" if epochs is not None else ""
    left_out = f" ({counted(len(facts['missing']), 'fold')} missing)" if facts["missing"] else ""
    return (
        f"For cross-validation, whole families were divided into {facts['n_folds']} folds{alike} and a network of its own "
        f"was trained{trained} without each{left_out}. Errors of the {count(facts['n_people'])} participants, each drawn by the "
        "network that was trained without them, were pooled; embeddings were not, since every network has an embedding of its own. "
        "Intervals are of 10,000 bootstrap samples of families."
    )


def _strata(results: Results) -> str:
    facts = results.facts.get(CLUSTERS)
    if facts is None:
        return ""
    settings: Mapping[str, Any] = facts.get("settings", {})
    choice: Mapping[str, Any] = settings.get("choice", {})
    sentences = [f"Strata were looked for in the embeddings of {count(facts['n_people'])} participants."]
    first = "First"
    if (facts.get("site") or {}).get("harmonise"):
        first = "Then"
        kept = f", keeping what {listed(facts['site']['kept'])} do" if facts["site"]["kept"] else ""
        sentences.append(
            f"Embeddings were harmonised over {facts['site']['column']} ({facts['site']['n_sites']} sites) by ComBat along their "
            f"principal axes{kept}."
        )
    if facts.get("covariates"):
        sentences.append(
            f"{first}, {listed(facts['covariates'])} were regressed out of the embeddings by linear regression, numbers "
            f"{'as restricted cubic splines' if settings.get('splines') else 'with their squares'}."
        )
    elif "covariates" in facts:
        sentences.append("No covariate was regressed out of the embeddings.")
    if settings.get("standardise"):
        sentences.append("Each embedding value was divided by its standard deviation.")
    if settings.get("reduce") and "n_dimensions" in facts:
        explained = f", with {share(facts['explained'])} of the variance" if "explained" in facts else ""
        sentences.append(f"Parallel analysis kept {facts['n_dimensions']} principal axes{explained}.")
    sentences += _choice(choice)
    if settings.get("choice_size") and int(facts["n_people"]) > settings["choice_size"]:
        sentences.append(
            f"The choice was made on whole families that make up about {count(settings['choice_size'])} participants."
        )
    if "n_references" in settings:
        kind = {"gaussian": "one Gaussian cloud", "t": "one heavy-tailed (t) cloud"}.get(
            settings.get("reference", ""), "one cloud"
        )
        sentences.append(
            f"The whole choice was repeated on {settings['n_references']} cohorts that are {kind} with the data's "
            f"covariance and alikeness of relatives; {p_is(facts['p_value'])} is how often their evidence "
            f"for gaps was as large. Strata were reported only if p was at most {setting(settings.get('significance'))} and every two "
            "neighbouring clusters had a gap."
        )
    if results.has_clusters and "n_stability" in settings:
        sentences.append(
            f"Half of the families were clustered {settings['n_stability']} times for the stability of each stratum."
        )
    return " ".join(sentences)


def _choice(choice: Mapping[str, Any]) -> list[str]:
    if not choice:
        return []
    if choice["preference"] is not None:
        return [f"Participants were clustered by affinity propagation (preference {setting(choice['preference'])})."]
    return [
        "Participants were clustered by k-means, refined by linear discriminant analysis until no participant moved. "
        f"Numbers of clusters from 2 to {choice['max_strata']} whose smallest cluster had at least "
        f"{share(choice['min_stratum_share'])} of the participants, and {LEAST_PEOPLE} participants of {LEAST_FAMILIES} families, "
        f"were candidates; those are stable whose every cluster came back from the clusterings that left out one of "
        f"{choice['n_folds']} folds of families (mean Jaccard index of the worst {setting(choice['least_stability'])} or more).",
        "Of the stable numbers, the largest was taken whose clusters were unions of finer clusters with one and two clusters more "
        f"(mean Jaccard index {setting(choice['least_agreement'])} or more) and had gaps between them. "
        "Gaps were looked for along the discriminant direction of the folds that participants were not in: their log likelihood "
        "ratio of two Gaussian groups against a uniform density in between, mean over this clustering and three finer ones "
        f"(at least {setting(choice['least_z_value'])} standard deviations and depth {setting(choice['least_depth'])}).",
    ]


def _phenotypes(results: Results) -> str:
    facts = results.facts.get(PHENOTYPING)
    if facts is None:
        return ""
    sentences = []
    items = results.table(PHENOTYPING, "items")
    if "n_factors" in facts:
        what = f"{(items['state'] == 'used').sum()} phenotype items" if items is not None else "Phenotype items"
        ranked = ", rank-normalised," if facts.get("rank_normalise") else ""
        rule = f"; their number by {facts['factor_rule']}" if facts.get("factor_rule") else ""
        families = f" in {counted(int(facts['n_families']), 'family', 'families')}" if "n_families" in facts else ""
        sentences.append(
            f"{what}{ranked} of {count(facts['n_people'])} participants{families} were standardised, missing values filled by "
            "regression on the other items, and condensed by principal component analysis with Varimax rotation to "
            f"{counted(int(facts['n_factors']), 'factor')}{rule}."
        )
    if facts.get("covariates"):
        sentences.append(
            f"Covariates were {listed(facts['covariates'])}; the version that counts is {facts['primary']}."
        )
    if results.table(PHENOTYPING, "tests") is not None:
        exchange = f" ({str(facts['exchange']).rstrip('.')})" if facts.get("exchange") else ""
        sentences.append(
            f"Strata were compared in each factor by the Kruskal-Wallis test with {count(facts['n_permutations'])} "
            f"permutations{exchange}, corrected over factors by Benjamini and Hochberg's procedure, and pairs of "
            "strata by Dunn's test, by the same permutations, with Holm's correction."
        )
    if facts.get("n_bootstrap"):
        sentences.append(f"Intervals are of {count(facts['n_bootstrap'])} bootstrap samples of families.")
    if facts.get("validation_share"):
        sentences.append(
            f"Strata and factors were also made without {share(facts['validation_share'])} of the families and tested "
            "on those."
        )
    if "significance" in facts:
        sentences.append(f"The level of significance was {setting(facts['significance'])}.")
    return " ".join(sentences)


def _provenance(results: Results) -> list[list[str]]:
    rows = []
    if results.embeddings is not None:
        rows.append(["Encoder", results.embeddings.encoder_hash])
    elif CLUSTERS in results.facts:
        rows.append(["Encoder", listed([encoder["encoder_hash"] for encoder in results.facts[CLUSTERS]["encoders"]])])
    trained = results.checkpoint.get("settings", {})
    if "people" in trained:
        rows.append(["Split of participants", str(trained["people"])])
    seeds = {
        "training": trained.get("seed"),
        "clustering": results.facts.get(CLUSTERS, {}).get("settings", {}).get("seed"),
        "phenotypes": results.facts.get(PHENOTYPING, {}).get("seed"),
    }
    rows += [[f"Seed of {name}", str(seed)] for name, seed in seeds.items() if seed is not None]
    if results.embeddings is not None and results.embeddings.versions:
        rows.append(["Software, embedding", _versions(results.embeddings.versions)])
    if results.facts.get(PHENOTYPING, {}).get("versions"):
        rows.append(["Software, phenotypes", _versions(results.facts[PHENOTYPING]["versions"])])
    own = {"brainstrata": version("brainstrata"), "python": platform.python_version(), "jinja2": version("jinja2")}
    rows.append(["Software, this report", _versions(own)])
    for stage, name in HASHED:
        if stage in results.stages:
            rows.append(
                [f"SHA-256 of {stage}/{name}", hashlib.sha256(results.file(stage, name).read_bytes()).hexdigest()[:16]]
            )
    return rows


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def _setting(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {setting(weight)}" for name, weight in value.items())
    return setting(value)


def _grid(sizes: list[int]) -> str:
    return " x ".join(str(size) for size in sizes)
