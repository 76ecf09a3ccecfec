"""How often the 95 % interval of a mean over participants holds the truth, by the number of families that are resampled.

    python benchmarks/few_families.py

A row per number of families: the share of 1,000 made-up evaluations whose interval holds the true figure, for figures of
families that are Gaussian, and that are skewed as sums of squares are. 0.95 is right; `LEAST_FOR_INTERVAL` is set by it.
"""

from __future__ import annotations

import numpy as np

from bundle.analysis import held_out_figures

FAMILIES = (2, 3, 5, 8, 10, 15, 30)
REPEATS = 1000


def coverage(n_families: int, skewed: bool, rng: np.random.Generator) -> float:
    """Share of evaluations, two participants a family, whose interval holds the truth."""
    shape = (n_families, REPEATS)
    values = rng.chisquare(4, shape) - 4 if skewed else rng.standard_normal(shape)
    people = np.repeat(values, 2, axis=0)
    families = np.repeat(np.arange(n_families), 2).tolist()
    _, low, high = held_out_figures.family_ratios(people, np.ones_like(people), families)
    return float(((low <= 0) & (high >= 0)).mean())


def main() -> None:
    """Print the table."""
    held_out_figures.LEAST_FOR_INTERVAL = 1
    rng = np.random.default_rng(0)
    print("families  Gaussian  skewed")
    for n_families in FAMILIES:
        print(f"{n_families:8d}  {coverage(n_families, False, rng):8.3f}  {coverage(n_families, True, rng):6.3f}")


if __name__ == "__main__":
    main()
