"""Participants with embeddings and phenotypes: who is analysed, and their factors."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bundle.analysis.combat import SiteModel
from bundle.analysis.covariates import CovariateModel
from bundle.analysis.factors import FactorModel, factor_names, split_half_congruence
from bundle.analysis.phenotyping import PRIMARY, RAW
from bundle.analysis.sites import Sites
from bundle.analysis.strata_settings import MIN_FAMILIES, MIN_PEOPLE
from bundle.data.embedding_table import EmbeddingTable
from bundle.data.id_forms import too_few_shared
from bundle.data.items import ItemTable, usable_items
from bundle.data.problems import InputProblems

logger = logging.getLogger(__name__)
LEAST_ITEMS = 3
CONGRUENCE_SPLITS = 20
STEPS = ("with an embedding", "with phenotypes", "analysed")


@dataclass(frozen=True)
class FactorSettings:
    """How items become factors.

    Args:
        n_factors: None takes as many as parallel analysis keeps; the paper has 13.
        rank_normalise: bring every item's ranks to a normal distribution; ordinal items always are.
        most_missing_item: items that more participants lack (share) are left out.
        most_missing_person: participants who lack more of the items (share) are left out.
    """

    n_factors: int | None = None
    rank_normalise: bool = False
    most_missing_item: float = 0.1
    most_missing_person: float = 0.5

    def __post_init__(self) -> None:
        problems = [
            f"{name}: expected a share from 0 to 1, got {value}."
            for name, value in (
                ("most_missing_item", self.most_missing_item),
                ("most_missing_person", self.most_missing_person),
            )
            if not 0 <= value < 1
        ]
        if self.n_factors is not None and self.n_factors < 1:
            problems.append(f"n_factors: expected 1 or more, or null, got {self.n_factors}.")
        if problems:
            raise InputProblems("Phenotype settings", problems)


@dataclass(frozen=True)
class Cohort:
    """All participants who are embedded, and the rows of those who are analysed.

    Attributes:
        table: N embeddings.
        codes: `(N, E)` of them.
        people: N participants.
        taken_out: N rows of covariates that are regressed out of embeddings by regression.
        out_of_scores: N rows of those that are regressed out of scores: the site is among them where only embeddings are harmonised.
        items: phenotypes, of whoever has any.
        rows: of those who are analysed.
        kinds: `(N,)` what tells members of a family apart, or None.
        splines: whether covariates that are numbers enter as splines.
        labels: N sites, NaN where it is not known; None if nothing is known of sites.
        sites: what embeddings are harmonised over, as clustering did; None if they are not.
        sites_of_scores: the same for scores.
    """

    table: EmbeddingTable
    codes: np.ndarray
    people: pd.DataFrame
    taken_out: pd.DataFrame
    out_of_scores: pd.DataFrame
    items: ItemTable
    rows: np.ndarray
    kinds: np.ndarray | None
    splines: bool
    labels: pd.Series | None = None
    sites: Sites | None = None
    sites_of_scores: Sites | None = None

    @property
    def families(self) -> np.ndarray:
        """`(N,)` labels."""
        return self.people["family_id"].to_numpy(dtype=str)

    @property
    def has_covariates(self) -> bool:
        """Whether there is anything to take out."""
        return bool(self.taken_out.shape[1] or self.out_of_scores.shape[1] or self.sites or self.sites_of_scores)

    @property
    def treated(self) -> list[str]:
        """What is regressed out of embeddings, of scores or of both, in words."""
        both = pd.concat([self.taken_out, self.out_of_scores], axis=1).columns.unique()
        names = list(map(str, both))
        by_combat = {"codes": self.sites, "scores": self.sites_of_scores}
        where = [what for what, sites in by_combat.items() if sites is not None]
        if where and self.labels is not None:
            names.append(f"{self.labels.name} (ComBat{'' if len(where) == 2 else f' of {where[0]}'})")
        return names

    @property
    def primary(self) -> str:
        """The version that counts."""
        return PRIMARY if self.has_covariates else RAW

    def kinds_of(self, rows: np.ndarray) -> np.ndarray | None:
        """`kinds` of some."""
        return None if self.kinds is None else self.kinds[rows]

    def adjusted_codes(self, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Embeddings of some participants, or what else is made of their images, harmonised and less what covariates explain."""
        return self._adjusted(values, rows, self.sites, self.taken_out, on_axes=True)

    def adjusted_scores(self, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Scores of some participants, harmonised and less what covariates explain of them."""
        return self._adjusted(values, rows, self.sites_of_scores, self.out_of_scores, on_axes=False)

    def _adjusted(
        self, values: np.ndarray, rows: np.ndarray, sites: Sites | None, covariates: pd.DataFrame, on_axes: bool
    ) -> np.ndarray:
        if sites is not None:
            own = sites.part(rows)
            values = SiteModel.fit(values, own, self.splines, on_axes).apply(values, own)
        if not covariates.shape[1]:
            return values
        own_covariates = covariates.iloc[rows]
        return CovariateModel.fit(values, own_covariates, self.splines).adjust(values, own_covariates)


@dataclass(frozen=True)
class Factors:
    """Factors of the participants who are analysed.

    Attributes:
        model: from items to scores.
        names: factor id (F1 ...) -> name.
        items: what became of each item.
        values: `(N, I)` used items, NaN if missing.
        labels: of them.
        congruence: `(splits, F)` between halves of the families.
    """

    model: FactorModel
    names: dict[str, str]
    items: pd.DataFrame
    values: np.ndarray
    labels: list[str]
    congruence: np.ndarray


def analysed_people(
    items: ItemTable, people: pd.DataFrame, settings: FactorSettings
) -> tuple[np.ndarray, pd.DataFrame, pd.DataFrame]:
    """Who is analysed: rows of `people`; the flow of participants; and who is left out, why.

    Raises:
        InputProblems: if ids do not match, too few items can be used, or fewer than 20 participants or 10 families are left.
    """
    has_row = people.index.isin(items.values.index)
    few = too_few_shared(people.index, items.values.index, "embedded participants", "participants of the items table")
    if few:
        raise InputProblems("Phenotypes", [few])
    known = usable_items(items, people.index[has_row].tolist(), settings.most_missing_item)
    used = known.loc[known["state"] == "used", "item"].tolist()
    if len(used) < LEAST_ITEMS:
        problems = [f"{row.item}: {row.reason}." for row in known.itertuples() if row.reason]
        problems.append(f"{len(used)} usable items; factors need {LEAST_ITEMS}: add items or raise most_missing_item.")
        raise InputProblems("Phenotypes", problems)
    share = pd.Series(1.0, index=people.index)
    share[has_row] = items.values.loc[people.index[has_row], used].isna().mean(axis=1)
    too_many = has_row & (share > settings.most_missing_person).to_numpy()
    rows = np.flatnonzero(has_row & ~too_many)
    reason = np.where(has_row, "", "no row in the items table").astype(object)
    reason[too_many] = [f"{value:.0%} of the items are missing" for value in share[too_many]]
    left_out = pd.DataFrame({"participant_id": people.index, "reason": reason})
    lacking = f"more than {settings.most_missing_person:.0%} of the items missing"
    flow = pd.DataFrame(
        {
            "step": STEPS,
            "people": [len(people), int(has_row.sum()), len(rows)],
            "reason": ["", "" if has_row.all() else "no row in the items table", lacking if too_many.any() else ""],
        }
    )
    n_families = people["family_id"].iloc[rows].nunique()
    if len(rows) < MIN_PEOPLE or n_families < MIN_FAMILIES:
        raise InputProblems(
            "Phenotypes",
            [
                f"{len(rows)} participants of {n_families} families have phenotypes; {MIN_PEOPLE} participants of {MIN_FAMILIES} "
                "families are needed, since whole families are exchanged."
            ],
        )
    return rows, flow, left_out[left_out["reason"] != ""]


def make_factors(cohort: Cohort, rows: np.ndarray, settings: FactorSettings, seed: int) -> Factors:
    """Factors of some participants.

    Raises:
        InputProblems: for more factors than items or participants.
    """
    names = cohort.people.index[rows]
    states = usable_items(cohort.items, names.tolist(), settings.most_missing_item)
    is_used = (states["state"] == "used").to_numpy()
    for row in states[~is_used].itertuples():
        logger.warning("Item %s is left out: %s.", row.item, row.reason)
    values = cohort.items.values.loc[names, states.loc[is_used, "item"]].to_numpy(dtype=float)
    is_ranked = [ordinal or settings.rank_normalise for ordinal in np.array(cohort.items.is_ordinal)[is_used]]
    try:
        model = FactorModel.fit(values, settings.n_factors, is_ranked, seed)
    except ValueError as error:
        raise InputProblems("Factors", [f"{error} Set n_factors so, or to null for parallel analysis."]) from error
    labels = states.loc[is_used, "label"].tolist()
    ids = [f"F{number + 1}" for number in range(model.n_factors)]
    halves = split_half_congruence(
        model.standardised(values), model.loadings, cohort.families[rows].tolist(), CONGRUENCE_SPLITS, seed
    )
    factor_name = dict(zip(ids, factor_names(model.loadings, labels), strict=True))
    return Factors(model, factor_name, states, values, labels, halves)
