"""Sites that a fitted ComBat has not seen, added from a few of their participants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bundle.analysis.combat import SiteModel
from bundle.analysis.sites import LEAST_FAMILIES, MIN_SITE, Sites
from bundle.data.problems import InputProblems

MOST_SCALE = 3
"""How many times as far, or as little, the participants of a site that is calibrated may spread as those of the first fit."""


def calibrate_sites(
    model: SiteModel, values: np.ndarray, people: Sites, families: Sequence[object] | np.ndarray | None = None
) -> SiteModel:
    """The model with further sites, from participants of those; sites that it knows stay as they are.

    Centre, spread and covariates stay those of the first fit, so no participant who was harmonised before changes.

    Args:
        model: to start from.
        values: `(N, E)`.
        people: their sites and what is kept.
        families: N labels; None takes all participants for a family of their own.

    Raises:
        InputProblems: for sites of fewer than 10 participants or 5 families, participants whom the covariates do not hold for, and
            sites whose participants spread less than a third or more than three times as far as those of the first fit.
    """
    family_of = np.arange(len(values)) if families is None else np.asarray(families)
    labels = people.labels.astype(str)
    new = model.unseen(people.labels)
    problems = _too_few(model, labels, new, family_of)
    reasons = model.kept.reasons_against(people.kept)
    problems += [
        f"{name}: {reason}: leave this participant out of the calibration set."
        for name, reason, is_used in zip(people.labels.index, reasons, labels.isin(new), strict=True)
        if reason and is_used
    ]
    if problems:
        raise InputProblems("Calibration set", problems)
    left = model.left_of(values, people)
    extended = model
    for name in new:
        extended = extended.with_site(name, left[(labels == name).to_numpy()])
    problems = _unlike_the_others(model, extended)
    if problems:
        raise InputProblems("Calibration set", problems)
    return extended


def _too_few(model: SiteModel, labels: pd.Series, new: Sequence[str], family_of: np.ndarray) -> list[str]:
    """A sentence for each new site of too few participants or families."""
    problems = []
    for name in new:
        own = (labels == name).to_numpy()
        count, n_families = int(own.sum()), len(np.unique(family_of[own]))
        if count < MIN_SITE:
            problems.append(f"{model.column} {name}: {count} participants to calibrate it with; {MIN_SITE} are needed.")
        elif n_families < LEAST_FAMILIES:
            problems.append(
                f"{model.column} {name}: {count} participants of {n_families} {'family' if n_families == 1 else 'families'} to "
                f"calibrate it with; {LEAST_FAMILIES} families are needed, as what the site does cannot be told from what "
                "a family is like: add participants of other families."
            )
    return problems


def _unlike_the_others(model: SiteModel, extended: SiteModel) -> list[str]:
    """A sentence for each new site whose participants spread much more or less than those of the first fit."""
    problems = []
    for number in range(len(model.sites), len(extended.sites)):
        scales = np.append(extended.scale[number], extended.rest_scale[number])
        oddest = scales[np.abs(np.log(np.maximum(scales, 1e-9))).argmax()]
        if not 1 / MOST_SCALE <= oddest <= MOST_SCALE:
            times = "less than 0.01" if oddest < 0.01 else f"{oddest:.2g}"
            problems.append(
                f"{model.column} {extended.sites[number]}: along some axis its participants spread {times} times as far as those "
                f"of {', '.join(model.sites)}; expected 1/{MOST_SCALE} to {MOST_SCALE}. Are they different participants, embedded "
                "as the others were? Give others, or leave the site out."
            )
    return problems
