"""Are the synthetic cohort's phenotype factors found again, and do the right ones differ between strata?

    python benchmarks/phenotype_recovery.py --results output/honesty/seed_0/joint output/honesty/seed_3/joint

Takes results folders of the synthetic cohort with phenotypes. For each true factor: Tucker's congruence with the factor that
matches it best, what was planted, and q in the three versions. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from bundle.analysis.factors import congruence
from bundle.analysis.phenotyping import BOTH_ADJUSTED, PHENOTYPE_ADJUSTED, RAW
from bundle.data.population import PHENOTYPE_FACTORS
from bundle.paths import COHORT, PHENOTYPING, PREPARED


def planted(name: str) -> str:
    """What the generator gave a factor."""
    factor = PHENOTYPE_FACTORS[name]
    if factor.brain_factor is not None:
        return f"brain, r = {factor.correlation}"
    return "sex only" if factor.sex_effect else "nothing"


def rows(folder: Path) -> list[dict]:
    """A line per true factor."""
    found = pd.read_csv(folder / PHENOTYPING / "loadings.tsv", sep="\t").set_index("item")
    true = pd.read_csv(folder / PREPARED / COHORT / "truth" / "loadings.tsv", sep="\t", index_col=0).loc[found.index]
    own = found[[column for column in found if column.startswith("F")]]
    alike = congruence(true.to_numpy(), own.to_numpy())
    first, second = linear_sum_assignment(-np.abs(alike))
    tests = pd.read_csv(folder / PHENOTYPING / "tests.tsv", sep="\t").pivot(
        index="factor", columns="version", values="q"
    )
    return [
        {
            "results": "/".join(folder.parts[-2:]),
            "factor": true.columns[one],
            "planted": planted(true.columns[one]),
            "congruence": abs(alike[one, other]),
            **{version: tests.loc[own.columns[other], version] for version in (RAW, PHENOTYPE_ADJUSTED, BOTH_ADJUSTED)},
        }
        for one, other in zip(first, second, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, nargs="+", required=True)
    arguments = parser.parse_args()
    print(
        f"| results | factor | planted | congruence | q {RAW} | q {PHENOTYPE_ADJUSTED} | q {BOTH_ADJUSTED} |\n|"
        + " --- |" * 7
    )
    for folder in arguments.results:
        for row in rows(folder.resolve()):
            q = " | ".join(f"{row[version]:.4f}" for version in (RAW, PHENOTYPE_ADJUSTED, BOTH_ADJUSTED))
            print(f"| {row['results']} | {row['factor']} | {row['planted']} | {row['congruence']:.2f} | {q} |")


if __name__ == "__main__":
    main()
