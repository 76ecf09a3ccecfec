"""Our permutation test of scores over groups against a loop over scipy's Kruskal-Wallis.

    python benchmarks/group_tests.py --permutations 10000 --scores 50 --people 1000

The loop is run for a few permutations of the same labels and its time scaled up; both statistics of these permutations are
compared. Ours also does the pairs of groups, the largest statistic of all scores and the corrections. Prints a Markdown
table.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy.stats import kruskal

from bundle.analysis.exchange import exchangeable_families, permuted_labels
from bundle.analysis.group_tests import group_tests

N_GROUPS, LOOPED, REPEATS = 9, 20, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--permutations", type=int, default=10_000)
    parser.add_argument("--scores", type=int, default=50)
    parser.add_argument("--people", type=int, default=1000)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((arguments.people, arguments.scores))
    labels = rng.permutation(np.arange(arguments.people) % N_GROUPS)
    blocks = exchangeable_families(np.arange(arguments.people) // 2)
    ours, theirs = [], []
    for _ in range(REPEATS):
        started = time.perf_counter()
        group_tests(scores, labels, blocks, arguments.permutations, 0)
        ours.append(time.perf_counter() - started)
        started = time.perf_counter()
        looped = [
            [kruskal(*(column[many == group] for group in range(N_GROUPS))).statistic for column in scores.T]
            for many in next(permuted_labels(labels, blocks, LOOPED, 0))
        ]
        theirs.append((time.perf_counter() - started) * arguments.permutations / LOOPED)
    difference = max(
        np.abs(group_tests(scores, many.astype(int), blocks, 1, 0).h - row).max()
        for many, row in zip(next(permuted_labels(labels, blocks, LOOPED, 0)), np.array(looped), strict=True)
    )
    print(
        "| permutations x scores x participants | scipy in a loop, s (scaled) | ours, s | times faster | largest difference of H |"
    )
    print("| --- | --- | --- | --- | --- |")
    print(
        f"| {arguments.permutations} x {arguments.scores} x {arguments.people} | {np.median(theirs):.0f} | "
        f"{np.median(ours):.1f} | {np.median(np.array(theirs) / ours):.0f} | {difference:.1e} |"
    )


if __name__ == "__main__":
    main()
