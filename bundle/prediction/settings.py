"""How predictions are cross-validated."""

from __future__ import annotations

from dataclasses import dataclass

from bundle.data.problems import InputProblems


@dataclass(frozen=True)
class CrossValidationSettings:
    """Nested folds of whole families.

    Args:
        n_folds: outer folds; the penalty is chosen in five folds of the others.
        n_repeats: divisions into folds; figures are means over them.
        n_bootstrap: draws of families for intervals.
        seed: of folds and draws.
    """

    n_folds: int = 10
    n_repeats: int = 5
    n_bootstrap: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"n_folds": 2, "n_repeats": 1, "n_bootstrap": 50}
        problems = [
            f"{name}: expected {value} or more, got {getattr(self, name)}."
            for name, value in least.items()
            if getattr(self, name) < value
        ]
        if problems:
            raise InputProblems("Cross-validation", problems)
