"""What predictions say and do not say, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bundle.analysis.prediction import Target
from bundle.prediction.inputs import EMBEDDING, PredictionInputs


def headline(figures: pd.DataFrame) -> str:
    """How well each target is predicted from the embedding, of the participants held out from the network if there are such."""
    parts = []
    for target, own in figures[figures["features"] == EMBEDDING].groupby("target", sort=False):
        group = own["participants"].iloc[-1]  # held out, if that is known
        values = own[own["participants"] == group].set_index("figure")["value"]
        if "r2" in values:
            parts.append(
                f"{target}: R2 {values['r2']:.2f}, mean absolute error {values['mae']:.3g}, r {values['r']:.2f}"
            )
        else:
            parts.append(f"{target}: AUC {values['auc']:.2f}, balanced accuracy {values['balanced_accuracy']:.2f}")
        parts[-1] += f" ({own.loc[own['participants'] == group, 'n_participants'].iloc[0]} participants, {group})"
    return "From the embedding: " + "; ".join(parts) + "."


def about_participants(inputs: PredictionInputs) -> list[str]:
    """Who is looked at, and what is known of who trained the network."""
    notes = [f"{len(inputs.people)} participants have all features."]
    if len(inputs.left_out):
        reasons = inputs.left_out["reason"].value_counts()
        notes.append(
            "Left out of everything: " + ", ".join(f"{count} ({reason})" for reason, count in reasons.items()) + "."
        )
    if inputs.used is None:
        notes.append(
            "It is not known who trained the network of these embeddings, so figures are of all participants; if its training "
            "participants are among them, their embeddings may describe them better than those of new participants."
        )
    else:
        n_used = int(inputs.used.sum())
        notes.append(
            f"{n_used} of them trained the network or chose its epoch, {len(inputs.used) - n_used} were held out from it. Claims "
            "about new participants rest on those; the regression learns from other families of both."
        )
    return notes


def about_targets(targets: Sequence[Target], inputs: PredictionInputs) -> list[str]:
    """That targets were not seen, and how many participants lack one."""
    names = [target.name for target in targets]
    listed = f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]
    notes = [
        f"The network never saw {listed}, only images; each prediction is by a regression on participants of other families."
    ]
    for target in targets:
        missing = len(inputs.people) - len(target.values)
        if missing:
            notes.append(f"{target.name} is not known of {missing} participants, who are left out of its figures.")
    return notes
