"""How alike repeated scans of one participant are, as a table: a row per features and group of participants."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bundle.analysis.repeated_scans import reliability_of
from bundle.data.problems import InputProblems
from bundle.data.relative_columns import PERSON_COLUMN
from bundle.prediction.inputs import PredictionInputs
from bundle.prediction.settings import CrossValidationSettings

RELIABILITY = (
    "features", "participants", "n_persons", "n_scans", "n_gallery", "identified", "identified_low", "identified_high", "chance",
    "distance_within", "distance_between", "icc_median", "icc_quartile_1", "icc_quartile_3", "image_icc", "image_icc_low",
    "image_icc_high",
)  # fmt: skip


def reliability_table(inputs: PredictionInputs, person: str, settings: CrossValidationSettings) -> pd.DataFrame:
    """Identification rate and intraclass correlations; no rows if hardly anybody was scanned more than once.

    Args:
        inputs: features and participants.
        person: column whose equal values are scans of one participant; `person_id` need not be there.
        settings: of the bootstrap.

    Raises:
        InputProblems: if another column is not there, or scans of one participant are in several families.
    """
    rows: list[dict[str, Any]] = []
    if person not in inputs.people:
        if person != PERSON_COLUMN:
            columns = ", ".join(map(str, inputs.people))
            raise InputProblems("Repeated scans", [f"--person names {person!r}, the participants table has {columns}."])
        return pd.DataFrame(columns=list(RELIABILITY))
    persons = inputs.people[person].astype(object)
    persons = persons.where(persons.notna(), [f"scan {name}" for name in inputs.people.index]).to_numpy(dtype=str)
    straddling = pd.Series(inputs.families).groupby(persons).nunique()
    problems = [
        f"{name}: scans of one participant ({person}) are in {count} families: give them one family_id, so that no fold divides them."
        for name, count in straddling[straddling > 1].items()
    ]
    if problems:
        raise InputProblems("Repeated scans", problems)
    for name, values in inputs.features.items():
        if name in inputs.unlike_units:
            deviations = values.std(axis=0)
            values = values[:, deviations > 0] / deviations[deviations > 0]
        for group, own in inputs.groups(np.arange(len(values))):
            found = reliability_of(values, persons, inputs.families, own, settings.n_bootstrap, settings.seed)
            if found is not None:
                icc = found.icc[np.isfinite(found.icc)]
                quartiles = np.percentile(icc, [25, 50, 75]) if len(icc) else [np.nan] * 3
                row = {"features": name, "participants": group, "n_persons": found.n_persons, "n_scans": found.n_scans}
                row |= {"n_gallery": found.n_gallery, "chance": found.chance}
                row |= dict(zip(("identified", "identified_low", "identified_high"), found.identified, strict=True))
                row |= {"distance_within": found.distance_within, "distance_between": found.distance_between}
                row |= dict(zip(("icc_quartile_1", "icc_median", "icc_quartile_3"), quartiles, strict=True))
                row |= dict(zip(("image_icc", "image_icc_low", "image_icc_high"), found.image_icc, strict=True))
                rows.append(row)
    return pd.DataFrame(rows, columns=list(RELIABILITY))
