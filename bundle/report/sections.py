"""The report's sections on people, network, codes and strata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure as PlotFigure

from bundle.data.datalist import SECTIONS
from bundle.data.embedding_table import EmbeddingTable
from bundle.paths import CLUSTERS, CROSS_VALIDATION, EMBEDDINGS, EVALUATION, PHENOTYPING, TRAINING
from bundle.report.blocks import Bullets, Column, Figure, Figures, Section, Steps, Table, Text, make_table
from bundle.report.numbers import count, counted, digits, listed, p_is, share, words
from bundle.report.pictures import MOST_PEOPLE, SCREEN_DPI, drawn, embedded, maps_of_people, skill_picture
from bundle.report.results import FORMS, LAST_WRITTEN, Results
from bundle.stages.evaluate import pca_verdict

NO_STRATA = (
    "No discrete strata were found. This is a normal result: people may differ from each other continuously, without "
    "falling into groups."
)
RECONSTRUCTION_WIDTH = 640
STAGE_WORDS = {
    TRAINING: "Training has",
    EVALUATION: "Evaluation has",
    EMBEDDINGS: "Embedding has",
    CLUSTERS: "Clustering has",
    PHENOTYPING: "Phenotype analysis has",
    CROSS_VALIDATION: "Cross-validation has",
}


def headline(results: Results) -> list[str]:
    """What was found, in plain words, the most important first."""
    found = results.facts.get(CLUSTERS)
    phenotypes = results.facts.get(PHENOTYPING)
    sentences = []
    if results.has_strata is None:
        sentences.append("Nobody has looked for strata yet.")
        summary = results.table(EVALUATION, "summary")
        if summary is not None:
            sentences.append(pca_verdict(summary))
    elif not results.has_strata:
        sentences.append(NO_STRATA)
    if found is not None:
        people = counted(int(found["n_people"]), "person", "people")
        if results.has_strata and results.has_clusters:
            sentences.append(
                f"{people} fall into {found['n_strata']} strata ({p_is(found['p_value'])}): they are more clearly "
                "apart than in cohorts without strata, and there are gaps between them."
            )
        elif results.has_clusters:
            sentences.append(f"Before covariates were taken out, the codes of {people} had {found['headline']}.")
        else:
            _, _, reason = str(found["headline"]).rstrip(")").partition("(")
            sentences.append(f"Clustering looked at {people}" + (f": {reason}." if reason else "."))
    if phenotypes is not None:
        if results.has_strata and not results.has_clusters:
            sentences.insert(0, f"Once covariates were taken out: {phenotypes['strata_headlines']['adjusted']}.")
        sentences.append(str(phenotypes["headline"]))
    return sentences


def key_figures(results: Results) -> list[tuple[str, str]]:
    """(what, how much), for the box beneath the headline."""
    figures: list[tuple[str, str]] = []
    if results.embeddings is not None:
        figures.append((count(len(results.embeddings)), "people with a code"))
        figures.append(
            (count(results.embeddings.codes.shape[1]), f"values from {listed(results.embeddings.modalities)}")
        )
    summary = results.table(EVALUATION, "summary")
    if summary is not None:
        figures.append((digits(2)(summary["skill"].mean()), "mean skill on people not trained on (1 is perfect)"))
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


def absent(results: Results, stage: str) -> Text:
    """One line for a stage that has not run."""
    return Text(f"{STAGE_WORDS[stage]} not been run. The command is", "absent", results.command(stage))


def picture(
    results: Results, stage: str, name: str, alt: str, caption: str, width: int = 0, descriptive: bool = False
) -> list[Figure]:
    """A stage's picture, if it is there."""
    file = results.file(stage, name)
    return [Figure(embedded(file), alt, caption, width, descriptive=descriptive)] if file.is_file() else []


def own_picture(figure: PlotFigure, alt: str, caption: str) -> Figure:
    """A picture that is drawn for the report."""
    return Figure(drawn(figure), alt, caption, round(SCREEN_DPI * figure.get_figwidth()), wide=False)


def table(results: Results, stage: str, name: str, columns: list[Column], caption: str, **more: Any) -> list[Table]:
    """A stage's table, if it is there."""
    frame = results.table(stage, name)
    return [] if frame is None else [make_table(frame, columns, caption, f"{stage}/{name}.tsv", **more)]


def people_section(results: Results) -> Section:
    """Who is in the analyses, and who was left out for what reason."""
    section = Section("people", "People")
    steps: list[tuple[str, str, str]] = []
    sizes = {name: len(results.datalist.get(name, [])) for name in SECTIONS}
    if sum(sizes.values()):
        steps.append(
            (
                f"with images ({listed([f'{size} {name}' for name, size in sizes.items()])})",
                count(sum(sizes.values())),
                "",
            )
        )
    flow = results.table(PHENOTYPING, "flow")
    if flow is None:
        if results.embeddings is not None:
            steps.append(("with a code", count(len(results.embeddings)), ""))
        if CLUSTERS in results.facts:
            steps.append(("clustered", count(results.facts[CLUSTERS]["n_people"]), ""))
        told = "Nobody was left out by the stages that have run: an unusable image stops them."
    else:
        lost = -flow["people"].diff().fillna(0)
        for row, fewer in zip(flow.to_dict("records"), lost, strict=True):
            why = f"{count(fewer)} left out: {words(row['reason'])}" if fewer > 0 else ""
            steps.append((words(row["step"]), count(row["people"]), why))
        told = f"Who was left out, and why: {PHENOTYPING}/left_out.tsv." if lost.any() else "Nobody was left out."
    if steps:
        section.blocks.append(Steps(steps))
    section.blocks.append(Text(told))
    return section


def training_section(results: Results) -> Section:
    """The learning curves."""
    section = Section("training", "Training")
    log = results.table(TRAINING, "log")
    if log is None:
        section.blocks.append(absent(results, TRAINING))
        return section
    best = log.loc[log["skill"].idxmax()]
    section.blocks.append(
        Text(
            f"{counted(len(log), 'epoch')} in {log['seconds'].sum() / 60:.0f} minutes. The weights of epoch "
            f"{count(best['epoch'])} were kept: its validation skill, {digits(3)(best['skill'])}, is the best. Skill "
            "is 0 for a network that draws the mean image for everybody, and 1 for a perfect one."
        )
    )
    section.blocks += picture(
        results,
        TRAINING,
        "learning_curve.png",
        f"Training loss falls from {digits(2)(log['loss'].iloc[0])} to {digits(2)(log['loss'].iloc[-1])}; validation "
        f"skill goes from {digits(2)(log['skill'].iloc[0])} to {digits(2)(log['skill'].iloc[-1])}.",
        f"Learning curves: loss on training people, skill on validation people. Numbers: {TRAINING}/log.tsv.",
    )
    return section


def reconstruction_section(results: Results) -> Section:
    """What the codes keep of the images of held-out people."""
    section = Section("reconstructions", "Reconstructions")
    summary = results.table(EVALUATION, "summary")
    if summary is None:
        section.blocks.append(absent(results, EVALUATION))
        caption = "One validation person: original, reconstruction, difference, and what is individual about each."
        section.blocks += picture(
            results, TRAINING, "reconstruction.png", "Reconstruction of one validation person.", caption
        )
        return section
    sentences = [pca_verdict(summary)]
    if summary["skill_code_swapped"].notna().all():
        swapped = listed([digits(2)(value) for value in summary["skill_code_swapped"]])
        sentences.append(
            f"Drawn from another person's code, skill is {swapped}; what is left did not come through the code."
        )
    nearest = share(summary["identifiability"].iloc[0])
    sentences.append(f"{nearest} of the reconstructions are nearer to their own image than to anybody else's.")
    section.blocks.append(Text(" ".join(sentences)))
    columns = [
        Column("modality", "Map"),
        Column("skill", "Skill", digits(3)),
        Column("pca_skill", "PCA's skill", digits(3)),
        Column("above_pca_low", "Above PCA, low", digits(3)),
        Column("above_pca_high", "high", digits(3)),
        Column("skill_code_swapped", "Skill, code swapped", digits(2)),
        Column("ssim", "SSIM", digits(3)),
    ]
    section.blocks += table(
        results, EVALUATION, "summary", columns, "Reconstruction of people the network was not trained on",
        note="Low and high: 95 % interval of skill minus PCA's. SSIM: structural similarity, 1 is perfect.",
    )  # fmt: skip
    people = results.table(EVALUATION, "people")
    if people is not None:
        n_people = people["participant_id"].nunique()
        worst = people.loc[people["skill"].idxmin()]
        section.blocks.append(
            own_picture(
                skill_picture(people),
                f"Skill of {n_people} people; the lowest is {digits(2)(worst['skill'])} in {worst['modality']}.",
                f"Skill of each of the {n_people} held-out people; the line is the median. Numbers: "
                f"{EVALUATION}/people.tsv.",
            )
        )
    for word in ("median", "worst"):
        section.blocks += picture(
            results,
            EVALUATION,
            f"reconstruction_{word}.png",
            f"Maps of the held-out person of {word} skill in three planes, beside their reconstruction.",
            f"The held-out person of {word} skill: original, reconstruction, difference, and what is individual "
            "about each. Descriptive.",
            RECONSTRUCTION_WIDTH,
        )
    return section


def embedding_section(results: Results) -> Section:
    """Where people lie among each other."""
    section = Section("embedding", "Map of people")
    table = results.embeddings
    if table is None:
        section.blocks.append(absent(results, EMBEDDINGS))
        return section
    section.blocks.append(
        Text(
            "These pictures are no evidence of strata: they show a few of the directions in which people differ, "
            "and t-SNE draws islands where there are none. The evidence is in the next section.",
            "note",
        )
    )
    figures = maps_of_people(table.codes, _strata_of(results, table))
    some = f" {MOST_PEOPLE:,} people, drawn at random." if len(table) > MOST_PEOPLE else ""
    meaning = {
        "PCA": "The two directions in which codes differ most.",
        "t-SNE": "Neighbours are kept near each other; distances between islands mean nothing.",
    }
    parts = [
        own_picture(
            figure,
            f"Scatter plot of people by {name} of their codes"
            + (", coloured by stratum." if results.has_clusters else "."),
            f"{name} of the codes as the network gives them, covariates included. {meaning[name]}{some} No evidence.",
        )
        for name, figure in figures.items()
    ]
    section.blocks.append(Figures(parts) if parts else Text("Too few people for a map."))
    return section


def _strata_of(results: Results, table: EmbeddingTable) -> np.ndarray | None:
    """Stratum of each person, 0 for people who were not clustered; None if there are no strata."""
    strata = results.table(CLUSTERS, "strata")
    if strata is None or not results.has_clusters:
        return None
    return strata.set_index("participant_id")["stratum"].reindex(table.participant_ids).fillna(0).astype(int).to_numpy()


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
        "Three panels: number of clusters against preference, stability of each number, and silhouette against "
        "cohorts without strata.",
        "Left: numbers of clusters that affinity propagation gives; a plateau is a run of preferences that give one "
        "number. Middle: how well half-samples of families give the same people the same cluster. Right: silhouette "
        "of the chosen partition against the same choice on cohorts without strata. Numbers: "
        f"{CLUSTERS}/preferences.tsv, candidates.tsv, null.tsv.",
    )
    section.blocks += table(
        results, CLUSTERS, "candidates",
        [
            Column("n_clusters", "Clusters", count),
            Column("plateau", "Plateau", count),
            Column("stability", "Stability (ARI)", digits(2)),
            Column("stability_low", "least", digits(2)),
            Column("stability_high", "most", digits(2)),
            Column("silhouette", "Silhouette", digits(2)),
            Column("chosen", "Chosen", _yes),
        ],
        "Numbers of clusters that were considered",
        note="Plateau: neighbouring preferences that give this number. ARI: adjusted Rand index, 1 is full agreement.",
    )  # fmt: skip
    if results.has_clusters:
        section.blocks += _strata_tables(results)
    section.blocks += picture(
        results,
        CLUSTERS,
        "people.png",
        "People along the axes that were clustered"
        + (", coloured by stratum, exemplars starred." if results.has_clusters else "."),
        "The same people in the space that was clustered, covariates taken out. A picture is no evidence.",
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
        "What other methods make of the same people",
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
    if null is not None and found.get("silhouette") is not None:
        sentences.append(
            f"The chosen partition has a silhouette of {digits(3)(found['silhouette'])}; the same choice on "
            f"{len(null)} cohorts without strata gave a median of {digits(3)(null['silhouette'].median())}, and "
            f"{digits(3)(null['silhouette'].quantile(0.95))} at the 95th percentile. {p_is(1 / (len(null) + 1))} is "
            "the least that so many cohorts can give."
        )
        if found.get("stability") is not None:
            sentences.append(
                f"Its stability is {digits(2)(found['stability'])}, against "
                f"{digits(2)(null['stability'].quantile(0.95))} at the 95th percentile of those cohorts."
            )
    if found.get("gap_p_value") is not None:
        sentences.append(
            f"Over all neighbouring clusters, the test for gaps between them gives {p_is(found['gap_p_value'])}."
        )
    return " ".join(sentences)


def _strata_tables(results: Results) -> list[Table]:
    return [
        *table(
            results, CLUSTERS, "strata_summary",
            [
                Column("stratum", "Stratum", count),
                Column("size", "People", count),
                Column("share", "Share", share),
                Column("jaccard", "Jaccard", digits(2)),
                Column("jaccard_low", "low", digits(2)),
                Column("jaccard_high", "high", digits(2)),
                Column("silhouette", "Silhouette", digits(2)),
            ],
            "The strata",
            note="Jaccard: how much of the stratum half-samples find again, with the range of 95 % of them.",
        ),
        *table(
            results, CLUSTERS, "gaps",
            [
                Column("cluster", "Stratum", count),
                Column("nearest_cluster", "Nearest", count),
                Column("middle", "People in the middle third", count),
                Column("flank", "In the emptier outer third", count),
            ],
            "Gaps between neighbouring strata",
            note="On the line between two strata, fewer people in the middle than beside it mean a gap.",
        ),
    ]  # fmt: skip


def limits_section(results: Results) -> Section:
    """What the results do not say."""
    items = [
        "Codes describe the maps that were given, in the people that were given. Other scanners, ages or maps may "
        "give others.",
        "Whatever is labelled descriptive was seen on the same images that made the strata. It is no test and has "
        "no p-value.",
        "Covariates are taken out by regression, numbers by a smooth curve; what they do otherwise stays in the codes.",
        "Strata are of this cohort until they are found in another one. Nothing here is for clinical use.",
    ]
    if results.has_strata is False:
        items.append("That no strata were found does not prove that there are none: small or faint ones can be missed.")
    facts = results.facts.get(PHENOTYPING, {})
    if facts.get("least_detectable") is not None and results.has_strata:
        items.append(
            f"With {counted(int(facts['n_people']), 'person', 'people')}, an effect below epsilon squared "
            f"{digits(3)(facts['least_detectable'])} would often be missed."
        )
    if facts.get("share_fixed"):
        items.append(
            f"{share(facts['share_fixed'])} of the people are in families that could be exchanged with no other."
        )
    for stage in (CLUSTERS, PHENOTYPING):
        items += [str(note) for note in results.facts.get(stage, {}).get("notes", [])]
    return Section("limits", "Limits", [Bullets(items)])


def files_section(results: Results) -> Section:
    """Where every table lies."""
    rows = []
    for (stage, name), form in FORMS.items():
        frame = results.tables.get((stage, name))
        if frame is not None:
            rows.append([f"{stage}/{name}.tsv", form.holds, count(len(frame))])
    caption = "Tables as tab-separated files"
    note = "Paths are relative to the results folder. Stages that have not run have none."
    section = Section("files", "Files")
    section.blocks.append(Table(caption, ["File", "Holds", "Rows"], rows, [True, True, False], "", note))
    return section


def missing_stages(results: Results) -> list[Text]:
    """A line for each stage that has not run."""
    return [absent(results, stage) for stage in LAST_WRITTEN if stage not in results.stages]
