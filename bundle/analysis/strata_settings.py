"""How strata are looked for, and in whom they can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bundle.analysis.choice_settings import ChoiceSettings
from bundle.analysis.references import KINDS
from bundle.data.problems import InputProblems

MIN_PEOPLE = 20
MIN_FAMILIES = 10


@dataclass(frozen=True)
class StrataSettings:
    """How strata are looked for.

    Args:
        standardise: divide each embedding value by its standard deviation. Off: the embedding's own scale says what matters.
        reduce: to the principal axes that parallel analysis keeps.
        choice: see `ChoiceSettings`.
        reference: of the null, `gaussian` or `t`.
        n_references: cohorts without strata that the choice is repeated on.
        significance: strata are reported if p is at most this.
        choice_size: the choice and its null are made on about so many participants at most (whole families, at random);
            all participants then joins the most probable cluster.
        n_stability: half-samples of families for the stability of each stratum and for assignment's votes.
        n_power: simulated cohorts of the same size with strata, to say how often they would be found; 0 for none.
        splines: covariates that are numbers enter as splines rather than with their squares.
        seed: of everything random.
    """

    standardise: bool = False
    reduce: bool = True
    choice: ChoiceSettings = field(default_factory=ChoiceSettings)
    reference: str = "gaussian"
    n_references: int = 99
    significance: float = 0.05
    choice_size: int = 1000
    n_stability: int = 50
    n_power: int = 20
    splines: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        problems = []
        if not 0 < self.significance < 1:
            problems.append(f"significance: expected a value between 0 and 1, got {self.significance}.")
        elif (self.n_references + 1) * self.significance < 1:
            problems.append(
                f"{self.n_references} references cannot give p <= {self.significance}: "
                f"set n_references to {int(np.ceil(1 / self.significance)) - 1} or more."
            )
        if self.reference not in KINDS:
            problems.append(f"reference: expected one of {KINDS}, got {self.reference!r}.")
        if self.reference == "t" and not self.reduce:
            problems.append("reference: t needs fewer dimensions than participants: use gaussian, or reduce: true.")
        if self.choice_size < MIN_PEOPLE or self.n_stability < 1 or self.n_power < 0:
            problems.append(
                f"expected choice_size of {MIN_PEOPLE} or more, n_stability of 1 or more and n_power of 0 or more."
            )
        if problems:
            raise InputProblems("Clustering settings", problems)


def check_codes(codes: np.ndarray, families: Sequence[object]) -> None:
    """Refuse embeddings that strata cannot be looked for in.

    Args:
        codes: `(N, E)`.
        families: N labels.

    Raises:
        InputProblems: for fewer than 20 participants or 10 families, and for embeddings that are all alike or not finite.
    """
    n_families = len(set(families))
    problem = ""
    if len(codes) < MIN_PEOPLE:
        problem = f"Strata need {MIN_PEOPLE} participants at least, got {len(codes)}."
    elif n_families < MIN_FAMILIES:
        problem = (
            f"Strata need {MIN_FAMILIES} families at least, since stability leaves families out; got {n_families}."
        )
    elif not np.isfinite(codes).all():
        problem = f"Embeddings must be finite; those of {(~np.isfinite(codes)).any(axis=1).sum()} participants are not."
    elif not (codes.std(axis=0) > 1e-6 * np.abs(codes).max()).any():
        problem = "All embeddings are alike: the encoder tells no participant apart; train it longer."
    if problem:
        raise InputProblems("Clustering", [problem])
