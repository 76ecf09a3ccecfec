"""How long one new participant takes, once everything is imported: embedding, then assignment to a stratum.

    python benchmarks/one_person.py --results output

Takes a results folder with a network and a stratifier, and one participant of its test split as if they were new.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import monai.bundle
import pandas as pd

# the stages themselves, so that their imports are not in the times
import custom_nets  # noqa: F401
from bundle.paths import BEST_MODEL, CLUSTERS, DATALIST, PREPARED, STRATIFIER, TRAINING


def seconds(run_id: str, config: str, **options: object) -> float:
    """Wall-clock time of a stage in this process."""
    started = time.perf_counter()
    monai.bundle.run(run_id=run_id, config_file=f"configs/{config}.yaml", **options)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("output"))
    results = parser.parse_args().results.resolve()
    datalist = json.loads((results / PREPARED / DATALIST).read_text())
    person = datalist["test"][0]
    files = {modality: person[modality] for modality in datalist["modalities"]}
    participants = pd.read_csv(Path(datalist["dataset_dir"]) / "participants.tsv", sep="\t", dtype=str)
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "participants.tsv"
        participants[participants["participant_id"] == person["participant_id"]].to_csv(table, sep="\t", index=False)
        embedding = seconds(
            "embedding",
            "inference",
            output_dir=folder,
            checkpoint=str(results / TRAINING / BEST_MODEL),
            files=files,
            participant_id=person["participant_id"],
        )
        assigning = seconds(
            "assigning",
            "assign",
            output_dir=folder,
            stratifier=str(results / CLUSTERS / STRATIFIER),
            participants=str(table),
        )
    print(f"embedding one participant: {embedding:.1f} s, assigning: {assigning:.1f} s")


if __name__ == "__main__":
    main()
