"""Sites beside strata, covariates and phenotypes: what goes with what, and whether strata differ within sites too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control
from sklearn.metrics import adjusted_mutual_info_score

from bundle.analysis.covariates import is_number
from bundle.analysis.exchange import exchangeable_families, permuted_labels, share_fixed
from bundle.analysis.group_effects import group_means
from bundle.analysis.group_tests import group_tests, standard_ranks
from bundle.analysis.site_prediction import MOST_FIXED

ALL_SITES = "all, within site"


@dataclass(frozen=True)
class Association:
    """How far two partitions of participants go together.

    Attributes:
        cramers_v: 0 if they have nothing to do with each other, 1 if one follows from the other.
        ami: adjusted mutual information, 1 for the same partition.
        p_value: by families of one size exchanging their sites; NaN where that leaves more than half of the participants at
            their own site.
    """

    cramers_v: float
    ami: float
    p_value: float


def association(
    strata: np.ndarray, sites: pd.Series, families: Sequence[object], n_permutations: int = 999, seed: int = 0
) -> Association | None:
    """Strata `(N,)` against N sites; participants without a site are not looked at. None for one stratum or site.

    Source: Cramér (1946), Mathematical Methods of Statistics, section 21.9.
    """
    rows = np.flatnonzero(sites.notna().to_numpy())
    stratum_of = np.unique(strata[rows], return_inverse=True)[1]
    site_of = np.unique(sites.iloc[rows].to_numpy(dtype=str), return_inverse=True)[1]
    n_strata, n_sites = int(stratum_of.max(initial=0)) + 1, int(site_of.max(initial=0)) + 1
    if n_strata < 2 or n_sites < 2:
        return None
    member = np.eye(n_strata)[stratum_of]
    expected = np.outer(member.sum(axis=0), np.bincount(site_of)) / len(rows)

    def chi_square(labels: np.ndarray) -> np.ndarray:
        counts = np.stack([(labels == site).astype(float) @ member for site in range(n_sites)], axis=2)
        return (np.square(counts - expected) / expected).sum(axis=(1, 2))

    observed = chi_square(site_of[None])[0]
    blocks = exchangeable_families(np.asarray(families)[rows])
    permuted = np.concatenate([chi_square(many) for many in permuted_labels(site_of, blocks, n_permutations, seed)])
    p_value = (np.sum(permuted >= observed * (1 - 1e-9)) + 1) / (n_permutations + 1)
    return Association(
        cramers_v=float(np.sqrt(observed / len(rows) / (min(n_strata, n_sites) - 1))),
        ami=float(adjusted_mutual_info_score(stratum_of, site_of)),
        p_value=np.nan if share_fixed(blocks, site_of) > MOST_FIXED else float(p_value),
    )


def strata_by_site(strata: np.ndarray, sites: pd.Series) -> pd.DataFrame:
    """Participants of each stratum at each site: `stratum`, `site`, `n_people`, `share` (of the site's participants)."""
    counts = pd.crosstab(pd.Series(strata, index=sites.index, name="stratum"), sites.rename("site"))
    shares = counts / counts.sum()
    table = counts.stack().rename("n_people").reset_index()
    return table.assign(share=shares.stack().to_numpy())


def covariates_by_site(covariates: pd.DataFrame, sites: pd.Series) -> pd.DataFrame:
    """How far each covariate follows the site: `covariate`, `share` of its variance between sites, NaN if it has none.

    For words, the largest share of the indicator of any word. Participants whose value is missing are not looked at.
    """
    known = sites.notna().to_numpy()
    rows = []
    for name, column in covariates[known].items():
        values = column.dropna()
        labels = sites[known][column.notna().to_numpy()].to_numpy(dtype=str)
        if values.empty:
            rows.append({"covariate": name, "share": np.nan})
            continue
        filled = (
            values.to_numpy(dtype=float)[:, None] if is_number(values) else pd.get_dummies(values).to_numpy(dtype=float)
        )
        usable = np.isfinite(filled).all(axis=1)
        own = pd.DataFrame(filled[usable])
        total = own.var(ddof=0)
        between = own.groupby(labels[usable]).transform("mean").var(ddof=0)
        rows.append({"covariate": name, "share": float((between / total.where(total > 0)).max())})
    return pd.DataFrame(rows, columns=["covariate", "share"])


def factor_means(
    scores: np.ndarray,
    strata: np.ndarray,
    sites: pd.Series,
    families: np.ndarray,
    factors: Mapping[str, str],
    n_draws: int,
    seed: int,
) -> pd.DataFrame:
    """Mean of each factor in each stratum at each site, less the mean of all, with its interval over families.

    Args:
        scores: `(N, F)`.
        strata: `(N,)` numbers from 1.
        sites: N; NaN is not looked at.
        families: N labels.
        factors: F ids -> names.
        n_draws: of families.
        seed: of the draws.

    Returns:
        Rows `factor`, `name`, `site`, `stratum`, `n_people`, `mean`, `low`, `high`.
    """
    rows = np.flatnonzero(sites.notna().to_numpy())
    keys = pd.MultiIndex.from_arrays([sites.iloc[rows].to_numpy(dtype=str), strata[rows]])
    cell_of, cells = keys.factorize(sort=True)
    centred = scores[rows] - scores[rows].mean(axis=0)
    means, low, high = group_means(centred, cell_of, families[rows], n_draws, seed)
    sizes = np.bincount(cell_of)
    return pd.DataFrame(
        [
            {
                "factor": factor,
                "name": name,
                "site": site,
                "stratum": stratum,
                "n_people": int(sizes[cell]),
                "mean": means[cell, number],
                "low": low[cell, number],
                "high": high[cell, number],
            }
            for number, (factor, name) in enumerate(factors.items())
            for cell, (site, stratum) in enumerate(cells)
        ]
    )


def compare_within_sites(
    scores: np.ndarray,
    strata: np.ndarray,
    sites: pd.Series,
    families: np.ndarray,
    factors: Mapping[str, str],
    least_members: int,
    n_permutations: int,
    seed: int,
) -> pd.DataFrame:
    """Do strata differ in a factor among participants of one site? At each site, and over sites by ranks within them.

    Families are exchanged with families of one size at the same sites. A stratum's participants at a site where it has fewer
    than `least_members` are left out there.

    Args:
        scores: `(N, F)`.
        strata: `(N,)` numbers from 1.
        sites: N; NaN is not looked at.
        families: N labels.
        factors: F ids -> names.
        least_members: of a stratum at a site.
        n_permutations: of families.
        seed: of the permutations.

    Returns:
        Rows `factor`, `name`, `site` (or "all, within site"), `n_people`, `n_strata`, `h`, `p`, `q`, `epsilon_squared`; none for
        sites where no two strata can be compared. `q` is Benjamini-Hochberg over all rows of single sites (site times
        factor), and over factors for all sites together. No p where exchange leaves more than half of a site's participants in
        their stratum.
    """
    labels = sites.to_numpy(dtype=object)
    usable = []
    for site in sorted(set(sites.dropna())):
        own = np.flatnonzero(labels == site)
        numbers, counts = np.unique(strata[own], return_counts=True)
        own = own[np.isin(strata[own], numbers[counts >= least_members])]
        if len(np.unique(strata[own])) > 1:
            usable.append((str(site), own))
    parts = [(site, own, scores[own]) for site, own in usable]
    if len(usable) > 1:
        ranks = [standard_ranks(scores[own]) for _, own in usable]
        parts.append((ALL_SITES, np.concatenate([own for _, own in usable]), np.vstack(ranks)))
    tables = []
    for site, own, values in parts:
        numbers, groups = np.unique(strata[own], return_inverse=True)
        blocks = exchangeable_families(families[own], labels[own].astype(str))
        found = group_tests(values, groups, blocks, n_permutations, seed)
        fixed = share_fixed(blocks, groups) > MOST_FIXED
        tables.append(
            pd.DataFrame(
                {
                    "factor": list(factors),
                    "name": list(factors.values()),
                    "site": site,
                    "n_people": len(own),
                    "n_strata": len(numbers),
                    "h": found.h,
                    "p": np.nan if fixed else found.p_values,
                    "q": np.nan,
                    "epsilon_squared": found.epsilon_squared,
                }
            )
        )
    columns = ["factor", "name", "site", "n_people", "n_strata", "h", "p", "q", "epsilon_squared"]
    if not tables:
        return pd.DataFrame(columns=columns)
    table = pd.concat(tables, ignore_index=True)
    is_pooled = table["site"] == ALL_SITES
    for tested in (is_pooled & table["p"].notna(), ~is_pooled & table["p"].notna()):
        if tested.any():
            table.loc[tested, "q"] = false_discovery_control(table.loc[tested, "p"])
    return table
