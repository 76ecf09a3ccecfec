"""What embeddings say of participants, and how alike repeated scans of one participant are."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from bundle.analysis.prediction import Target, out_of_fold_predictions, outer_folds
from bundle.analysis.prediction_figures import compare_predictions, predicted_values
from bundle.data.json_files import write_json
from bundle.data.problems import InputProblems
from bundle.data.tables import write_table
from bundle.paths import PREDICTION, stage_folder
from bundle.pictures import save_figure
from bundle.prediction.inputs import EMBEDDING, PredictionInputs, Sources, read_inputs, target_of
from bundle.prediction.pictures import predictions_picture
from bundle.prediction.reliability import reliability_table
from bundle.prediction.sentences import about_participants, about_targets, headline
from bundle.prediction.settings import CrossValidationSettings

logger = logging.getLogger(__name__)


def predict(
    output_dir: str,
    targets: Sequence[str],
    sources: Mapping[str, Any],
    participants: str | None,
    categories: Sequence[str],
    person: str,
    cross_validation: Mapping[str, Any],
) -> pd.DataFrame:
    """Predict columns of the participants table from embeddings and other features; write `6_prediction/`.

    Args:
        output_dir: results folder.
        targets: columns that are predicted.
        sources: see `Sources`.
        participants: table with targets and `family_id`; None takes that of `1_prepared`.
        categories: columns that are categories even if numbers code them.
        person: column whose equal values are scans of one participant; it need not be there.
        cross_validation: see `CrossValidationSettings`.

    Returns:
        A row per target, group of participants, features and figure; see `compare_predictions`.

    Raises:
        InputProblems: with all that is wrong with one of the inputs.
    """
    settings = CrossValidationSettings(**cross_validation)
    inputs = read_inputs(output_dir, Sources(**sources), participants, categories, targets)
    chosen = _known_targets(inputs, targets, categories, settings.n_folds)
    reliability = reliability_table(inputs, person, settings)
    predicted = [_predict_target(inputs, target, rows, settings) for target, rows in chosen]
    figures = pd.concat([one.figures for one in predicted], ignore_index=True)
    scores, held_out = ({one.target.name: getattr(one, name) for one in predicted} for name in ("scores", "held_out"))
    picture = predictions_picture([target for target, _ in chosen], scores, held_out, figures)
    notes = [*about_participants(inputs), *about_targets([target for target, _ in chosen], inputs)]
    facts = {
        "headline": headline(figures),
        "notes": notes,
        "encoder_hash": inputs.encoder_hash,
        "n_people": len(inputs.people),
        "n_families": len(np.unique(inputs.families)),
        "n_held_out": None if inputs.used is None else int((~inputs.used).sum()),
        "targets": [target.name for target, _ in chosen],
        "features": {name: values.shape[1] for name, values in inputs.features.items()},
        "settings": asdict(settings),
        "figures": figures.astype(object).where(figures.notna(), None).to_dict("records"),
    }
    tables = {
        "figures": figures,
        "predictions": pd.concat([one.predictions for one in predicted], ignore_index=True),
        "left_out": _left_out(inputs, [target.name for target, _ in chosen]),
        "reliability": reliability,
    }
    folder = stage_folder(output_dir, PREDICTION)
    for name, table in tables.items():
        write_table(table, folder / f"{name}.tsv")
    save_figure(picture, folder / "predictions.png")
    write_json(facts, folder / "summary.json")  # last: it says that the stage has run
    shown = figures.to_string(index=False, float_format=lambda value: f"{value:.3f}")
    logger.info("%s\n%s\n%s\nWritten: %s", shown, facts["headline"], "\n".join(notes), folder)
    return figures


@dataclass(frozen=True)
class _Predicted:
    """One target: its figures and predictions, and what the picture shows of each participant."""

    target: Target
    figures: pd.DataFrame
    predictions: pd.DataFrame
    scores: np.ndarray
    held_out: np.ndarray


def _predict_target(
    inputs: PredictionInputs, target: Target, rows: np.ndarray, settings: CrossValidationSettings
) -> _Predicted:
    families = inputs.families[rows]
    folds = outer_folds(target, families, settings.n_folds, settings.n_repeats, settings.seed)
    logger.info("%s: %d participants, %d families.", target.name, len(rows), len(np.unique(families)))
    predicted = {
        name: out_of_fold_predictions(values[rows], target, families, folds) for name, values in inputs.features.items()
    }
    figures = []
    for group, own in inputs.groups(rows):
        table = compare_predictions(target, predicted, folds, families, own, settings.n_bootstrap, settings.seed)
        for column, value in (("n_participants", len(own)), ("participants", group), ("target", target.name)):
            table.insert(0, column, value)
        figures.append(table)
    rows_of = [_prediction_rows(inputs, rows, target, folds, name, values) for name, values in predicted.items()]
    return _Predicted(
        target,
        pd.concat(figures, ignore_index=True),
        pd.concat(rows_of, ignore_index=True),
        _shown_scores(target, predicted[EMBEDDING], folds),
        inputs.is_held_out(rows),
    )


def _left_out(inputs: PredictionInputs, targets: Sequence[str]) -> pd.DataFrame:
    """Who lacks features, then who lacks a target."""
    parts = [inputs.left_out]
    for name in targets:
        lacking = inputs.people.index[inputs.people[name].isna()]
        parts.append(pd.DataFrame({"participant_id": lacking, "reason": f"no {name}"}))
    return pd.concat(parts, ignore_index=True)


def _known_targets(
    inputs: PredictionInputs, targets: Sequence[str], categories: Sequence[str], n_folds: int
) -> list[tuple[Target, np.ndarray]]:
    """Each target with the rows of participants who have it; all problems at once."""
    chosen, problems = [], []
    for name in dict.fromkeys(targets):
        rows = np.flatnonzero(inputs.people[name].notna())
        try:
            target = target_of(inputs.people[name].iloc[rows], inputs.families[rows], categories, n_folds)
        except InputProblems as error:
            problems += error.problems
        else:
            chosen.append((target, rows))
    if problems:
        raise InputProblems("Targets", problems)
    return chosen


def _prediction_rows(
    inputs: PredictionInputs, rows: np.ndarray, target: Target, folds: np.ndarray, name: str, predicted: np.ndarray
) -> pd.DataFrame:
    values = predicted_values(target, predicted, folds)
    levels = np.array(target.levels, dtype=object)
    return pd.DataFrame(
        {
            "participant_id": inputs.people.index[rows],
            "target": target.name,
            "features": name,
            "true": levels[target.values] if target.levels else target.values,
            "predicted": levels[values] if target.levels else values,
            "score": predicted[..., 1].mean(axis=0) if len(target.levels) == 2 else np.nan,
            "held_out": "n/a" if inputs.used is None else np.where(inputs.used[rows], "no", "yes"),
        }
    )


def _shown_scores(target: Target, predicted: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """See `predictions_picture`."""
    if not target.levels:
        return predicted_values(target, predicted, folds)
    mean = predicted.mean(axis=0)
    return mean[:, 1] if len(target.levels) == 2 else mean[np.arange(len(mean)), target.values]
