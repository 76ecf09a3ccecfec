"""Stage 6: strata, and the code as a continuum, against phenotype factors."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy
import sklearn
import torch
from monai.data import Dataset

from bundle.analysis.cluster_choice import ChoiceSettings
from bundle.analysis.code_space import principal_axes
from bundle.analysis.continuum import explained_by, indicators
from bundle.analysis.contributions import covariate_shares, dimension_shares, modality_shares
from bundle.analysis.covariates import CovariateModel
from bundle.analysis.factors import FactorModel, factor_names, split_half_congruence
from bundle.analysis.group_tests import exchangeable_families, share_fixed
from bundle.analysis.phenotyping import (
    BOTH_ADJUSTED,
    PHENOTYPE_ADJUSTED,
    PRIMARY,
    RAW,
    VALIDATION,
    Comparison,
    TestSettings,
    compare,
    people_of_strata,
    together,
)
from bundle.analysis.strata import MIN_FAMILIES, MIN_PEOPLE, StrataSettings, find_strata
from bundle.analysis.stratifier import NOT_ASSIGNED
from bundle.data.atomic import atomic_path
from bundle.data.datalist import read_json
from bundle.data.embedding_table import EmbeddingTable, read_embedding_table
from bundle.data.items import ItemTable, read_items, usable_items
from bundle.data.people import USUAL, covariate_columns, people_table
from bundle.data.problems import InputProblems
from bundle.paths import CLUSTERS, DATALIST, EMBEDDINGS, PHENOTYPES, PHENOTYPING, PREPARED, STRATIFIER, stage_folder
from bundle.phenotype_pictures import continuum_picture, loadings_picture, maps_picture, profile_picture
from bundle.phenotype_tables import Factors, Grouping, factor_rows, headline, item_rows, loading_rows, score_rows
from bundle.pictures import save_figure
from bundle.stages.assign import read_stratifier
from bundle.stages.cluster import Progress, stratifier_of
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
LEAST_ITEMS = 3
CONGRUENCE_SPLITS = 20
OTHER_REFERENCES = 19
"""Cohorts without strata for the codes that clustering did not cluster; the least p is then 0.05."""
STEPS = ("with an embedding", "with phenotypes", "analysed")


@dataclass(frozen=True)
class FactorSettings:
    """How items become factors.

    Args:
        n_factors: None takes as many as parallel analysis keeps; the paper has 13.
        rank_normalise: bring every item's ranks to a normal distribution; ordinal items always are.
        most_missing_item: items that more people lack (share) are left out.
        most_missing_person: people who lack more of the items (share) are left out.
    """

    n_factors: int | None = None
    rank_normalise: bool = False
    most_missing_item: float = 0.1
    most_missing_person: float = 0.5


@dataclass(frozen=True)
class Cohort:
    """Everybody who is embedded, and the rows of those who are analysed.

    Attributes:
        table: N embeddings.
        people: N participants.
        taken_out: N rows of covariates.
        items: phenotypes, of whoever has any.
        rows: of those who are analysed.
        kinds: `(N,)` what tells members of a family apart, or None.
        splines: whether covariates that are numbers enter as splines.
    """

    table: EmbeddingTable
    people: pd.DataFrame
    taken_out: pd.DataFrame
    items: ItemTable
    rows: np.ndarray
    kinds: np.ndarray | None
    splines: bool

    @property
    def families(self) -> np.ndarray:
        """`(N,)` labels."""
        return self.people["family_id"].to_numpy(dtype=str)

    @property
    def codes(self) -> np.ndarray:
        """`(N, E)`."""
        return self.table.codes.astype(float)

    def kinds_of(self, rows: np.ndarray) -> np.ndarray | None:
        """`kinds` of some."""
        return None if self.kinds is None else self.kinds[rows]

    def without_covariates(self, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Values of some people less what covariates explain of them."""
        covariates = self.taken_out.iloc[rows]
        if not covariates.shape[1]:
            return values
        return CovariateModel.fit(values, covariates, self.splines).adjust(values, covariates)


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
    """
    try:
        factor_settings, test_settings = FactorSettings(**factors), TestSettings(**tests)
    except TypeError as error:  # a name that is no setting
        raise InputProblems("Phenotype settings", [str(error)]) from error
    if not 0 <= validation_share < 0.9:
        raise InputProblems("Phenotype settings", [f"validation_share: expected 0 to 0.9, got {validation_share}."])
    table = read_embedding_table(embeddings if embeddings else stage_folder(output_dir, EMBEDDINGS))
    clusters, found = read_clusters(output_dir, table)
    people = people_table(table.participant_ids.tolist(), output_dir, participants, categories)
    taken_out = _covariates(people, covariates, found["covariates"])
    items = read_items(_items_file(output_dir, phenotypes), dictionary, id_column)
    rows, flow, left_out = analysed_people(items, people, factor_settings)
    kinds = people[kinship].fillna("n/a").to_numpy(dtype=str) if kinship in people else None
    cohort = Cohort(table, people, taken_out, items, rows, kinds, found["settings"]["splines"])
    fixed = share_fixed(exchangeable_families(cohort.families[rows], cohort.kinds_of(rows)))
    if fixed == 1:
        raise InputProblems(
            "Families",
            ["No two families are alike, so nothing can be exchanged: --kinship None exchanges families of one size."],
        )
    made = make_factors(cohort, rows, factor_settings, test_settings.seed)
    scores = made.model.scores(made.values)
    adjusted = cohort.without_covariates(scores, rows)
    evidence = None
    if use_images:
        network = load_network(network, checkpoint, output_dir, device)
        evidence = read_images(network, dataset, table, n_explained, device, test_settings.seed, progress)
    with Progress(progress) as bar:
        raw, both = groupings(cohort, clusters, found, num_workers, bar)
    # unadjusted codes may hide strata; what adjusting the phenotypes does is then shown for those of the adjusted codes
    first = raw if raw.n_strata > 1 else both
    comparisons = [
        compare(version, values, grouping.labels[rows], cohort.families[rows], cohort.kinds_of(rows), made.names, test_settings)
        for version, values, grouping in (
            (RAW, scores, first),
            (PHENOTYPE_ADJUSTED, adjusted, first),
            (BOTH_ADJUSTED, adjusted, both),
        )
    ]  # fmt: skip
    if validation_share:
        with Progress(progress) as bar:
            comparisons.append(
                validate(cohort, found, validation_share, factor_settings, test_settings, num_workers, bar)
            )
    result = together(comparisons)
    notes = list(dict.fromkeys(result.notes))
    if first is not raw and both.n_strata > 1:
        notes.append(
            f"The unadjusted codes have no discrete strata, so {RAW} and {PHENOTYPE_ADJUSTED} compare those of the "
            "adjusted codes."
        )
    describing = people.iloc[rows].drop(columns="family_id").join(items.demographics, rsuffix="_item")
    tables = {
        "flow": flow,
        "left_out": left_out,
        "items": item_rows(made, items),
        "factors": factor_rows(made),
        "loadings": loading_rows(made),
        "scores": score_rows(people.index[rows], scores, adjusted, made),
        "code_covariates": covariate_shares(cohort.codes, taken_out, cohort.splines),
        "tests": result.tests,
        "pairs": result.pairs,
        "profile": result.profile,
        "strata_people": people_of_strata(describing, both.labels[rows]),
        "continuum": compare_with_continuum(cohort, raw, both, scores, evidence, made.names, n_folds, test_settings),
    }
    folder = stage_folder(output_dir, PHENOTYPING)
    differences = None
    if evidence is not None:
        tables |= shares(output_dir, evidence, clusters, both.codes if found["covariates"] else raw.codes, table)
        if found["n_strata"] > 1:
            exemplars = clusters.reset_index()[clusters["is_exemplar"].to_numpy()].sort_values("stratum").index
            differences = decoded_differences(network, table.codes, exemplars.tolist(), device)
            write_maps(differences, dataset.data[0], table.modalities, folder / "maps")
    for name, content in tables.items():
        with atomic_path(folder / f"{name}.tsv") as temporary:
            content.to_csv(temporary, sep="\t", index=False, float_format="%.6g", na_rep="n/a")
    own = result.tests[result.tests["version"] == PRIMARY]
    facts = {
        "headline": headline(result.tests, both, tables["continuum"], list(taken_out)),
        "notes": notes,
        "n_people": len(rows),
        "n_families": len(set(cohort.families[rows])),
        "n_strata": {"raw": raw.n_strata, "adjusted": both.n_strata},
        "strata_headlines": {"raw": raw.headline, "adjusted": both.headline},
        "primary": PRIMARY,
        "n_factors": made.model.n_factors,
        "factor_rule": "parallel analysis" if factor_settings.n_factors is None else "fixed number",
        "rank_normalise": factor_settings.rank_normalise,
        "covariates": list(taken_out),
        "n_permutations": test_settings.n_permutations,
        "n_bootstrap": test_settings.n_bootstrap,
        "exchange": f"whole families of one size{'' if kinds is None else f' and the same {kinship}'}",
        "share_fixed": fixed,
        "significance": test_settings.significance,
        "least_detectable": float(own["least_detectable"].iloc[0]) if len(own) else None,
        "validation_share": validation_share,
        "seed": test_settings.seed,
        "encoder_hash": table.encoder_hash,
        "settings": {"factors": asdict(factor_settings), "tests": asdict(test_settings), "n_folds": n_folds},
        "versions": software_versions()
        | {"scipy": scipy.__version__, "scikit-learn": sklearn.__version__, "pandas": pd.__version__},
    }
    with atomic_path(folder / "summary.json") as temporary:
        temporary.write_text(json.dumps(facts, indent=1))
    _draw(folder, tables, differences, network)
    logger.info("%s", _words(folder, facts, result.tests))
    return result.tests


def read_clusters(output_dir: str, table: EmbeddingTable) -> tuple[pd.DataFrame, dict[str, Any]]:
    """`strata.tsv`, in the order of the embeddings, and `summary.json` of `5_clusters`.

    Raises:
        InputProblems: if they are not there, or are of another encoder or other people.
    """
    folder = stage_folder(output_dir, CLUSTERS)
    if not (folder / "summary.json").is_file() or not (folder / "strata.tsv").is_file():
        raise InputProblems("Strata", [f"No strata in {folder}: run clustering first."])
    facts = read_json(folder / "summary.json")
    strata = pd.read_csv(folder / "strata.tsv", sep="\t", dtype={"participant_id": str}).set_index("participant_id")
    made_by = facts["encoders"][0]["encoder_hash"]
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
    return strata.loc[table.participant_ids], facts


def analysed_people(
    items: ItemTable, people: pd.DataFrame, settings: FactorSettings
) -> tuple[np.ndarray, pd.DataFrame, pd.DataFrame]:
    """Who is analysed: rows of `people`; the flow of people; and who is left out, why.

    Raises:
        InputProblems: if ids do not match, too few items can be used, or fewer than 20 people or 10 families are left.
    """
    has_row = people.index.isin(items.values.index)
    if not has_row.any():
        raise InputProblems(
            "Phenotypes",
            [
                f"None of the {len(people)} embedded people (such as {people.index[0]}) is among the {len(items.values)} "
                f"of the items table (such as {items.values.index[0]}): make the ids the same."
            ],
        )
    known = usable_items(items, people.index[has_row].tolist(), settings.most_missing_item)
    used = known.loc[known["state"] == "used", "item"].tolist()
    if len(used) < LEAST_ITEMS:
        problems = [f"{row.item}: {row.reason}." for row in known.itertuples() if row.reason]
        problems.append(f"{len(used)} usable items; factors need {LEAST_ITEMS}: add items or raise most_missing_item.")
        raise InputProblems("Phenotypes", problems)
    share = pd.Series(1.0, index=people.index)
    share[has_row] = items.values.loc[people.index[has_row], used].isna().mean(axis=1)
    too_many = has_row & (share > settings.most_missing_person).to_numpy()
    rows = np.flatnonzero(has_row & ~too_many)
    reason = np.where(has_row, "", "no row in the items table").astype(object)
    reason[too_many] = [f"{value:.0%} of the items are missing" for value in share[too_many]]
    left_out = pd.DataFrame({"participant_id": people.index, "reason": reason})
    lacking = f"more than {settings.most_missing_person:.0%} of the items missing"
    flow = pd.DataFrame(
        {
            "step": STEPS,
            "people": [len(people), int(has_row.sum()), len(rows)],
            "reason": ["", "no row in the items table", lacking],
        }
    )
    n_families = people["family_id"].iloc[rows].nunique()
    if len(rows) < MIN_PEOPLE or n_families < MIN_FAMILIES:
        raise InputProblems(
            "Phenotypes",
            [
                f"{len(rows)} people of {n_families} families have phenotypes; {MIN_PEOPLE} people of {MIN_FAMILIES} "
                "families are needed, since whole families are exchanged."
            ],
        )
    return rows, flow, left_out[left_out["reason"] != ""]


def make_factors(cohort: Cohort, rows: np.ndarray, settings: FactorSettings, seed: int) -> Factors:
    """Factors of some people.

    Raises:
        InputProblems: for more factors than items or people.
    """
    names = cohort.people.index[rows]
    states = usable_items(cohort.items, names.tolist(), settings.most_missing_item)
    is_used = (states["state"] == "used").to_numpy()
    for row in states[~is_used].itertuples():
        logger.warning("Item %s is left out: %s.", row.item, row.reason)
    values = cohort.items.values.loc[names, states.loc[is_used, "item"]].to_numpy(dtype=float)
    is_ranked = [ordinal or settings.rank_normalise for ordinal in np.array(cohort.items.is_ordinal)[is_used]]
    try:
        model = FactorModel.fit(values, settings.n_factors, is_ranked, seed)
    except ValueError as error:
        raise InputProblems("Factors", [f"{error} Set n_factors so, or to null for parallel analysis."]) from error
    labels = states.loc[is_used, "label"].tolist()
    ids = [f"F{number + 1}" for number in range(model.n_factors)]
    halves = split_half_congruence(
        model.standardised(values), model.loadings, cohort.families[rows].tolist(), CONGRUENCE_SPLITS, seed
    )
    factor_name = dict(zip(ids, factor_names(model.loadings, labels), strict=True))
    return Factors(model, factor_name, states, values, labels, halves)


def groupings(
    cohort: Cohort, clusters: pd.DataFrame, found: Mapping[str, Any], num_workers: int, bar: Progress
) -> tuple[Grouping, Grouping]:
    """Strata of the codes as they are, and of the codes without covariates; one of the two is what clustering wrote."""
    everybody = np.arange(len(cohort.table))
    without = cohort.without_covariates(cohort.codes, everybody)
    is_adjusted = bool(found["covariates"])
    given = Grouping(
        clusters["stratum"].to_numpy(),
        found["headline"],
        int(clusters["candidate_cluster"].max()),
        without if is_adjusted else cohort.codes,
    )
    if not cohort.taken_out.shape[1]:
        return given, given
    searched = find_strata(
        cohort.codes,
        cohort.families.tolist(),
        None if is_adjusted else cohort.taken_out,
        _settings(found, OTHER_REFERENCES),
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


def validate(
    cohort: Cohort,
    found: Mapping[str, Any],
    share: float,
    factor_settings: FactorSettings,
    test_settings: TestSettings,
    num_workers: int,
    bar: Progress,
) -> Comparison:
    """Strata, factors and covariate models of some families, tested on the people of the others."""
    family_of = np.unique(cohort.families, return_inverse=True)[1]
    order = np.random.default_rng(test_settings.seed).permutation(family_of.max() + 1)
    is_held_out = np.isin(family_of, order[: round(share * len(order))])
    seen = np.flatnonzero(~is_held_out)
    covariates = cohort.taken_out if cohort.taken_out.shape[1] else None
    strata = find_strata(
        cohort.codes[seen],
        cohort.families[seen].tolist(),
        None if covariates is None else covariates.iloc[seen],
        _settings(found, found["settings"]["n_references"]),
        num_workers,
        bar.show,
    )
    if strata.n_strata < 2:
        return Comparison(notes=(f"{VALIDATION}: in the {len(seen)} people of discovery, {strata.headline}.",))
    errors = cohort.table.reconstruction_errors
    part = replace(
        cohort.table,
        participant_ids=cohort.table.participant_ids[seen],
        codes=cohort.table.codes[seen],
        reconstruction_errors=errors[seen],
    )
    assigned = stratifier_of(strata, part).assign(cohort.codes, covariates, errors)
    is_assigned = (assigned["stratum"] != NOT_ASSIGNED).to_numpy()
    discovery, held_out = cohort.rows[~is_held_out[cohort.rows]], cohort.rows[is_held_out[cohort.rows]]
    own = held_out[is_assigned[held_out]]
    made = make_factors(cohort, discovery, factor_settings, test_settings.seed)
    used = made.items.loc[made.items["state"] == "used", "item"]
    scores = made.model.scores(cohort.items.values.loc[cohort.people.index[own], used].to_numpy(dtype=float))
    if covariates is not None:
        model = CovariateModel.fit(made.model.scores(made.values), covariates.iloc[discovery], cohort.splines)
        scores = model.adjust(scores, covariates.iloc[own])
    compared = compare(
        VALIDATION,
        scores,
        assigned["nearest_stratum"].to_numpy()[own],
        cohort.families[own],
        cohort.kinds_of(own),
        made.names,
        test_settings,
    )
    note = (
        f"{VALIDATION}: strata ({strata.headline}) and factors of {len(seen)} people, tested on {len(own)} people of "
        f"other families; {len(held_out) - len(own)} more could not be assigned. Its factors are its own."
    )
    return replace(compared, notes=(note, *compared.notes))


def compare_with_continuum(
    cohort: Cohort,
    raw: Grouping,
    both: Grouping,
    scores: np.ndarray,
    evidence: ImageEvidence | None,
    factors: Mapping[str, str],
    n_folds: int,
    settings: TestSettings,
) -> pd.DataFrame:
    """What predicts each factor: strata, as many code components, the whole code, and fusion without a network."""
    tables = []
    for version, grouping in ((RAW, raw), (BOTH_ADJUSTED, both)):
        is_adjusted = version == BOTH_ADJUSTED and cohort.taken_out.shape[1] > 0
        codes = grouping.codes[cohort.rows]
        centred = codes - codes.mean(axis=0)
        components = centred @ principal_axes(centred)[1]
        count = max(1, (grouping.n_strata if grouping.n_strata > 1 else grouping.n_tried) - 1)
        predictors = {"components": components[:, :count], "ridge": components}
        if grouping.n_strata > 1:
            predictors = {"strata": indicators(grouping.labels[cohort.rows]), **predictors}
        if evidence is not None:
            linear = evidence.components[cohort.rows]
            predictors["linear fusion"] = cohort.without_covariates(linear, cohort.rows) if is_adjusted else linear
        table = explained_by(
            scores,
            predictors,
            ["ridge", "linear fusion"],
            cohort.families[cohort.rows].tolist(),
            cohort.taken_out.iloc[cohort.rows] if is_adjusted else None,
            cohort.splines,
            n_folds,
            settings.n_bootstrap,
            settings.seed,
        )
        table.insert(0, "version", version)
        tables.append(table)
    result = pd.concat(tables, ignore_index=True)
    ids = list(factors)
    result["factor"] = [ids[number] for number in result["factor"]]
    result.insert(2, "name", result["factor"].map(dict(factors)))
    return result


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


def _settings(found: Mapping[str, Any], n_references: int) -> StrataSettings:
    stored = dict(found["settings"])
    stored["choice"] = ChoiceSettings(**stored["choice"])
    return replace(StrataSettings(**stored), n_references=n_references)


def _items_file(output_dir: str, phenotypes: str | None) -> Path:
    if phenotypes is not None:
        return Path(phenotypes)
    file = stage_folder(output_dir, PREPARED) / DATALIST
    source = Path(read_json(file).get("dataset_dir", "")) if file.is_file() else Path()
    if not (source / PHENOTYPES).is_file():
        raise InputProblems(
            "Phenotypes", [f"The cohort has no {PHENOTYPES}: give --phenotypes, a table with a row per person."]
        )
    return source / PHENOTYPES


def _draw(
    folder: Path, tables: Mapping[str, pd.DataFrame], differences: np.ndarray | None, network: FusionAutoencoder
) -> None:
    for name in ("profile", "maps"):  # of an earlier run that found strata
        (folder / f"{name}.png").unlink(missing_ok=True)
    save_figure(loadings_picture(tables["loadings"], tables["factors"]), folder / "loadings.png")
    continuum = tables["continuum"]
    save_figure(continuum_picture(continuum[continuum["version"] == BOTH_ADJUSTED]), folder / "continuum.png")
    tests = tables["tests"]
    tests = tests[tests["version"] == PRIMARY]
    if len(tests):
        profile = tables["profile"]
        save_figure(profile_picture(profile[profile["version"] == PRIMARY], tests), folder / "profile.png")
    if differences is not None:
        scaling = network.scaling
        mean_image, brain = scaling.mean_image.cpu().numpy(), scaling.brain_mask.cpu().numpy()
        save_figure(maps_picture(differences, mean_image, brain, network.modalities), folder / "maps.png")


def _words(folder: Path, facts: Mapping[str, Any], tests: pd.DataFrame) -> str:
    lines = [f"{facts['n_people']} people of {facts['n_families']} families: {facts['headline']}"]
    if len(tests):
        wide = tests.pivot(index=["factor", "name"], columns="version", values="q")
        wide = wide[[version for version in (RAW, PHENOTYPE_ADJUSTED, BOTH_ADJUSTED, VALIDATION) if version in wide]]
        lines.append("q by version:\n" + wide.to_string(float_format=lambda value: f"{value:.3g}"))
    lines += facts["notes"]
    if facts["share_fixed"] > 0.2:
        lines.append(f"{facts['share_fixed']:.0%} of people are in families that are like no other and stay in place.")
    lines.append(f"Written: {folder}: tests.tsv, factors.tsv, continuum.tsv, pictures and more (docs/phenotypes.md)")
    lines.append("Next: python -m monai.bundle run reporting --config_file configs/report.yaml")
    return "\n".join(lines)
