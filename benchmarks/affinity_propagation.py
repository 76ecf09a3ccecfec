"""Our affinity propagation against scikit-learn's: time, peak memory, same labels.

    python benchmarks/affinity_propagation.py --people 1000 5000 10000
    python benchmarks/affinity_propagation.py --people 40000 --ours_only --iterations 20

Each run is a process of its own on the same points (12 groups in 20 dimensions) at the same preference and damping, one
after the other; memory is the most the process held, less what it held before it started clustering. Times are of
the whole clustering, similarities included. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

N_GROUPS, N_DIMENSIONS, DAMPING = 12, 20, 0.9


def people(count: int) -> np.ndarray:
    """Points around 12 centres, centred."""
    rng = np.random.default_rng(0)
    centres = 3 * rng.standard_normal((N_GROUPS, N_DIMENSIONS))
    points = centres[rng.integers(N_GROUPS, size=count)] + rng.standard_normal((count, N_DIMENSIONS))
    return points - points.mean(axis=0)


def one_run(who: str, count: int, iterations: int) -> dict:
    """Cluster in this process; seconds, bytes, labels and whether it converged."""
    from sklearn.cluster import AffinityPropagation

    from bundle.analysis.affinity_clusters import median_similarity
    from bundle.analysis.affinity_propagation import affinity_propagation, sweeps_to_settle

    points = people(count)
    # what gives about as many clusters as there are groups
    preference = 0.2 * count * median_similarity(points) / N_GROUPS
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    if who == "ours":
        found = affinity_propagation(points, preference, DAMPING, iterations, progress=sys.stderr.isatty())
        labels, n_iterations, converged = found.labels, found.n_iterations, found.converged
    else:
        model = AffinityPropagation(
            damping=DAMPING,
            preference=preference,
            max_iter=iterations,
            convergence_iter=sweeps_to_settle(DAMPING),
            random_state=0,
        )
        labels = model.fit(points).labels_
        n_iterations, converged = model.n_iter_, model.n_iter_ < iterations
    seconds = time.perf_counter() - started
    held = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return {
        "seconds": seconds,
        "bytes": held,
        "iterations": int(n_iterations),
        "converged": bool(converged),
        "labels": labels.tolist(),
    }


def in_a_process(who: str, count: int, iterations: int) -> dict:
    """`one_run` in a fresh process."""
    words = [sys.executable, __file__, "--people", str(count), "--iterations", str(iterations), "--run", who]
    return json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, nargs="+", default=[1000, 5000, 10000])
    parser.add_argument("--iterations", type=int, default=400)
    parser.add_argument("--ours_only", action="store_true")
    parser.add_argument("--run", choices=["ours", "scikit-learn"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps(one_run(arguments.run, arguments.people[0], arguments.iterations)))
        return
    print(
        "| participants | scikit-learn s, GB | ours s, GB | times faster | share of memory | iterations | clusters | labels |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for count in arguments.people:
        ours = in_a_process("ours", count, arguments.iterations)
        clusters = len(set(ours["labels"]))
        own = f"{ours['seconds']:.1f}, {ours['bytes'] / 1e9:.2f}"
        if arguments.ours_only:
            print(f"| {count} | | {own} | | | {ours['iterations']} | {clusters} | |", flush=True)
            continue
        theirs = in_a_process("scikit-learn", count, arguments.iterations)
        same = "identical" if theirs["labels"] == ours["labels"] else "different"
        if not (ours["converged"] and theirs["converged"]):
            same += ", not converged"
        print(
            f"| {count} | {theirs['seconds']:.1f}, {theirs['bytes'] / 1e9:.2f} | {own} | "
            f"{theirs['seconds'] / ours['seconds']:.1f} | {ours['bytes'] / theirs['bytes']:.2f} | {ours['iterations']} | "
            f"{clusters} | {same} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
