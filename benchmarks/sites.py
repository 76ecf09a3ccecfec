"""How often sites are found that do nothing, what harmonising leaves of those that do, and how many participants calibrate one.

    python benchmarks/sites.py

Simulated embeddings: eight latent axes in 200 values plus noise, pairs of relatives (correlation 0.6) at one site, four strata
4 standard deviations apart for calibration. Prints two tables; minutes on one core.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from bundle.analysis.combat import SiteModel
from bundle.analysis.site_calibration import calibrate_sites
from bundle.analysis.site_prediction import predict_sites
from bundle.analysis.sites import Sites

N_AXES, N_VALUES = 8, 200
AXES = np.random.default_rng(1).standard_normal((N_AXES, N_VALUES))
SCANNERS = np.random.default_rng(2).standard_normal((3, N_AXES)) @ AXES
SCANNERS += np.random.default_rng(3).standard_normal((3, N_VALUES))
"""One standard deviation along every latent axis, and as much in every value."""
CENTRES = 4 / np.sqrt(2) * np.eye(4, N_AXES)


def people(
    seed: int, n: int, shift: float, spread: float, sites: str, strata: int = 1
) -> tuple[np.ndarray, Sites, np.ndarray]:
    """Embeddings, sites and strata of `n` participants at sites A, B, C (those named), the second and third of which change embeddings."""
    rng = np.random.default_rng(seed)
    family = np.arange(n) // 2
    latent = np.sqrt(0.6) * rng.standard_normal((n // 2, N_AXES))[family] + np.sqrt(0.4) * rng.standard_normal(
        (n, N_AXES)
    )
    stratum = rng.integers(0, strata, n // 2)[family]
    latent += CENTRES[stratum] * (strata > 1)
    codes = latent @ AXES + 0.5 * rng.standard_normal((n, N_VALUES))
    site = np.array(["ABC".index(name) for name in sites])[rng.integers(0, len(sites), n // 2)[family]]
    changed = (site > 0)[:, None]
    codes = np.where(changed, spread * codes, codes) + shift * changed * SCANNERS[site]
    return codes, Sites(pd.Series(np.array(list("ABC"))[site], name="site"), pd.DataFrame(index=range(n))), stratum


def prediction(n_cohorts: int = 40) -> pd.DataFrame:
    """Accuracy before and after ComBat, by what the second site does; before, share of cohorts with p <= 0.05 too."""
    rows = []
    for n in (160, 600):
        for what, shift, spread in (("nothing", 0, 1), ("shift", 0.5, 1), ("spread", 0, 1.3), ("both", 0.5, 1.3)):
            found = []
            for seed in range(n_cohorts if n == 160 else n_cohorts // 2):
                codes, at, _ = people(seed, n, shift, spread, "AB")

                def harmonised(
                    seen: np.ndarray, codes: np.ndarray = codes, at: Sites = at, on_axes: bool = True
                ) -> np.ndarray:
                    return SiteModel.fit_unchecked(codes[seen], at.part(seen), on_axes=on_axes).apply(codes, at)

                ways = {
                    "given": lambda seen, codes=codes: codes,
                    "value by value": partial(harmonised, on_axes=False),
                    "along axes": harmonised,
                }
                harmonising = ["value by value", "along axes"]
                found.append(
                    predict_sites(ways, at.labels, (np.arange(n) // 2).tolist(), 199, 50, knowing_sites=harmonising)
                )
            row: dict[str, object] = {"people": n, "site B": what, "cohorts": len(found)}
            for way in ways:
                row[f"{way}: accuracy"] = np.mean([one[way].accuracy for one in found])
            row["given: p <= 0.05"] = np.mean([one["given"].p_value <= 0.05 for one in found])
            rows.append(row)
    return pd.DataFrame(rows)


def calibration(n_cohorts: int = 20) -> pd.DataFrame:
    """Share of 200 participants of an unseen site who are nearest to their own stratum's mean, by the calibration set."""
    rows = []
    for count, of in ((0, "-"), *[(n, "all strata") for n in (10, 20, 50, 100)], (100, "one stratum")):
        right = []
        for seed in range(n_cohorts):
            codes, at, stratum = people(seed, 300, 2.0, 1.2, "AB", 4)
            model = SiteModel.fit(codes, at, on_axes=True)
            known = model.apply(codes, at)
            means = np.stack([known[stratum == number].mean(axis=0) for number in range(4)])
            new, at_c, truth = people(1000 + seed, 200, 2.0, 1.2, "C", 4)
            if count:
                others, at_others, of_others = people(2000 + seed, 1000, 2.0, 1.2, "C", 4)
                chosen = np.flatnonzero(of_others == 0)[:count] if of == "one stratum" else np.arange(count)
                model = calibrate_sites(model, others[chosen], at_others.part(chosen))
            placed = model.apply(new, at_c)
            nearest = np.linalg.norm(placed[:, None] - means, axis=2).argmin(axis=1)
            right.append((nearest == truth).mean())
        rows.append({"calibrating": count, "of": of, "right": np.mean(right), "worst cohort": np.min(right)})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    print(calibration().round(2).to_string(index=False))
    print(prediction().round(2).to_string(index=False))
