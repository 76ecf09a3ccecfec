"""The report's sections on the network: how it was trained, and what it keeps of the images."""

from __future__ import annotations

from bundle.evaluation.linear_baselines import linear_verdict
from bundle.evaluation.pca_baseline import pca_verdict
from bundle.paths import EVALUATION, TRAINING
from bundle.report.blocks import Column, Section, Text, with_interval
from bundle.report.numbers import count, counted, digits, listed, share
from bundle.report.pictures import r2_picture
from bundle.report.results import Results
from bundle.report.stage_blocks import absent, own_picture, picture, table

SUBSETS_WIDTH = 620
RECONSTRUCTION_WIDTH = 640


def training_section(results: Results) -> Section:
    """The learning curves."""
    section = Section("training", "Training")
    log = results.table(TRAINING, "log")
    if log is None:
        section.blocks.append(absent(results, TRAINING))
        return section
    best = log.loc[log["r2"].idxmax()]
    section.blocks.append(
        Text(
            f"{counted(int(log['epoch'].max()), 'epoch')} in {log['seconds'].sum() / 60:.1f} minutes. The weights of epoch "
            f"{count(best['epoch'])} were kept: its validation R², {digits(3)(best['r2'])}, is the best. R² "
            "is 0 for a network that draws the mean image for all participants, and 1 for a perfect one."
        )
    )
    section.blocks += picture(
        results,
        TRAINING,
        "learning_curve.png",
        f"Training loss falls from {digits(2)(log['loss'].dropna().iloc[0])} to {digits(2)(log['loss'].iloc[-1])}; validation "
        f"R² goes from {digits(2)(log['r2'].iloc[0])} to {digits(2)(log['r2'].iloc[-1])}.",
        f"Learning curves: loss on training participants, R² on validation participants. Numbers: {TRAINING}/log.tsv.",
    )
    return section


def reconstruction_section(results: Results) -> Section:
    """What the embeddings keep of the images of held-out participants."""
    section = Section("reconstructions", "Reconstructions")
    summary = results.table(EVALUATION, "summary")
    if summary is None:
        section.blocks.append(absent(results, EVALUATION))
        caption = "One validation participant: original, reconstruction, difference, and what is individual about each."
        section.blocks += picture(
            results, TRAINING, "reconstruction.png", "Reconstruction of one validation participant.", caption
        )
        return section
    sentences = [linear_verdict(summary), pca_verdict(summary)]
    if summary["r2_code_swapped"].notna().all():
        swapped = listed([digits(2)(value) for value in summary["r2_code_swapped"]])
        sentences.append(
            f"Drawn from another participant's embedding, R² is {swapped}; what is above 0 did not come through the embedding."
        )
    nearest = share(summary["identifiability"].iloc[0])
    sentences.append(f"{nearest} of the reconstructions are nearer to their own image than to anybody else's.")
    section.blocks.append(Text(" ".join(sentences)))
    columns = [
        Column("modality", "Map"),
        Column("r2", "R²", digits(3)),
        Column("pca_r2", "PCA's R²", digits(3)),
        Column("linear_r2", "R2 of the best linear embedding", digits(3)),
        *with_interval("above_linear", "Ahead of it", digits(3), "above_linear_low", "above_linear_high"),
        Column("r2_code_swapped", "R², embedding swapped", digits(2)),
        Column("ssim", "SSIM", digits(3)),
    ]
    section.blocks += table(
        results, EVALUATION, "summary", columns, "Reconstruction of participants the network was not trained on",
        note="R2 is relative to the training mean image. The best linear embedding has as many numbers as the network's and was "
        "chosen on validation participants (3_evaluation/linear_embeddings.tsv); ahead: R2 of the network minus its R2, with the 95 % "
        "interval of resampled families. SSIM: structural similarity, 1 is perfect.",
    )  # fmt: skip
    people = results.table(EVALUATION, "people")
    if people is not None:
        n_people = people["participant_id"].nunique()
        worst = people.loc[people["r2"].idxmin()]
        section.blocks.append(
            own_picture(
                r2_picture(people),
                f"R² of {n_people} participants; the lowest is {digits(2)(worst['r2'])} in {worst['modality']}.",
                f"R² of each of the {n_people} held-out participants; the line is the median. Numbers: "
                f"{EVALUATION}/people.tsv.",
            )
        )
    section.blocks += picture(
        results,
        EVALUATION,
        "subsets.png",
        "Table of R²: every map drawn from every subset of maps.",
        "R² of every map (columns) drawn from every subset of maps (rows). Framed maps were given, the others were "
        f"generated from them. With intervals: {EVALUATION}/subsets.tsv.",
        SUBSETS_WIDTH,
    )
    for word in ("median", "worst"):
        section.blocks += picture(
            results,
            EVALUATION,
            f"reconstruction_{word}.png",
            f"Maps of the held-out participant of {word} R² in three planes, beside their reconstruction.",
            f"The held-out participant of {word} R²: original, reconstruction, difference, and what is individual "
            "about each. Descriptive.",
            RECONSTRUCTION_WIDTH,
        )
    return section
