"""Do the embeddings carry the true strata, as far as the true factors do? And is nothing found where nothing is?

    python benchmarks/strata_recovery.py --results output/honesty/seed_0/joint output/honesty/seed_3/joint
    python benchmarks/strata_recovery.py --null_results output/null --cohorts 20

The first form takes results folders of the synthetic cohort with embeddings of all participants. It runs the default clustering
on the embeddings, and the same procedure on the true latent factors (the oracle: no reduction, no covariates), and compares
both with the true strata by the adjusted Rand index. `--variants` adds other reductions of the embeddings.

The second form takes a results folder of a cohort without strata (`training --synthetic::n_strata 1`), draws further
cohorts without strata from other seeds, embeds them with that folder's encoder and counts how often strata are found.
Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from monai.bundle import ConfigParser
from scipy.stats import binomtest
from sklearn.metrics import adjusted_rand_score
from tqdm import tqdm

from bundle.analysis.strata import Strata
from bundle.analysis.strata_search import find_strata
from bundle.analysis.strata_settings import StrataSettings
from bundle.data.cohort_settings import CohortSettings
from bundle.data.embedding_table import read_embedding_table
from bundle.data.people import USUAL, covariate_columns, people_table
from bundle.data.synthetic import SyntheticCohort
from bundle.paths import BEST_MODEL, COHORT, PREPARED, TRAINING

CATEGORIES = ("sex", "site")
VARIANTS = {
    "as it is": (StrataSettings(), True),
    "covariates left in": (StrataSettings(), False),
    "each value standardised": (StrataSettings(standardise=True), True),
    "not reduced": (StrataSettings(reduce=False), True),
}


def recovery(folder: Path, variants: list[str], n_jobs: int) -> list[dict]:
    """Rows of what the oracle and the embeddings give."""
    table = read_embedding_table(folder / "4_embeddings")
    people = people_table(table.participant_ids.tolist(), str(folder), None, CATEGORIES)
    truth = pd.read_csv(folder / PREPARED / COHORT / "truth" / "factors.tsv", sep="\t", index_col=0).loc[people.index]
    families = people["family_id"].tolist()
    factors = truth.filter(like="factor_").to_numpy()
    oracle = find_strata(factors, families, settings=StrataSettings(reduce=False), n_jobs=n_jobs)
    rows = [row(folder, "oracle: true factors", oracle, truth["stratum"])]
    for name in variants:
        settings, adjust = VARIANTS[name]
        covariates = covariate_columns(people, USUAL if adjust else [])
        found = find_strata(table.codes, families, covariates, settings, n_jobs)
        rows.append(row(folder, f"embeddings, {name}", found, truth["stratum"]))
    return rows


def row(folder: Path, name: str, found: Strata, truth: pd.Series) -> dict:
    """One line of the table."""
    return {
        "results": "/".join(folder.parts[-2:]),
        "what": name,
        "found": found.headline,
        "dimensions": found.space.n_dimensions,
        "ari": adjusted_rand_score(truth, found.labels),
        "least_jaccard": np.nanmean(found.ballots.jaccard, axis=0).min() if found.n_strata > 1 else np.nan,
    }


def embed_new_cohort(network: torch.nn.Module, settings: CohortSettings) -> tuple[np.ndarray, pd.DataFrame]:
    """Embeddings and participants of a cohort that is drawn in memory."""
    cohort = SyntheticCohort(settings)
    codes = []
    for number in tqdm(range(settings.n_subjects), desc=f"cohort {settings.seed}", leave=False):
        images = cohort.draw_subject(number).images
        volume = torch.from_numpy(np.stack([images[modality] for modality in network.modalities]))[None]
        with torch.no_grad():
            codes.append(network.encode(volume)[0].numpy())
    return np.stack(codes), cohort.population.participants


def false_strata(folder: Path, first_seed: int, n_cohorts: int, n_people: int, n_jobs: int) -> list[dict]:
    """Rows of what is found in cohorts without strata."""
    parser = ConfigParser()
    parser.read_config("configs/inference.yaml")
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(torch.load(folder / TRAINING / BEST_MODEL, weights_only=True))
    network.eval()
    settings = json.loads((folder / PREPARED / COHORT / "cohort.json").read_text())
    if settings["n_strata"] != 1:
        raise SystemExit(
            f"{folder} holds a cohort with {settings['n_strata']} strata: train with --synthetic::n_strata 1."
        )
    rows = []
    for seed in range(first_seed, first_seed + n_cohorts):
        codes, participants = embed_new_cohort(
            network, replace(CohortSettings(**settings), seed=seed, n_subjects=n_people)
        )
        covariates = covariate_columns(participants, USUAL)
        found = find_strata(codes, participants["family_id"].tolist(), covariates, n_jobs=n_jobs)
        rows.append({"seed": seed, "found": found.headline, "n_strata": found.n_strata})
        print(f"seed {seed}: {found.headline}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, nargs="*", default=[])
    parser.add_argument("--variants", nargs="*", default=["as it is"], choices=list(VARIANTS))
    parser.add_argument("--null_results", type=Path)
    parser.add_argument("--cohorts", type=int, default=20)
    parser.add_argument("--people", type=int, default=150)
    parser.add_argument("--first_seed", type=int, default=2000)
    parser.add_argument("--num_workers", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.results:
        print("| results | what | found | dimensions | ARI with the truth | least Jaccard |\n|" + " --- |" * 6)
    for folder in arguments.results:
        for line in recovery(folder.resolve(), arguments.variants, arguments.num_workers):
            print(
                f"| {line['results']} | {line['what']} | {line['found']} | {line['dimensions']} | {line['ari']:.3f} | "
                f"{line['least_jaccard']:.2f} |",
                flush=True,
            )
    if arguments.null_results:
        rows = false_strata(
            arguments.null_results, arguments.first_seed, arguments.cohorts, arguments.people, arguments.num_workers
        )
        found = sum(line["n_strata"] > 1 for line in rows)
        interval = binomtest(found, len(rows)).proportion_ci()
        print(f"Strata found in {found} of {len(rows)} cohorts without ({interval.low:.3f} to {interval.high:.3f}).")


if __name__ == "__main__":
    main()
