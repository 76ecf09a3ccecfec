"""False-positive control: run the analysis on simulated cohorts whose truth is known, and count."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pandas as pd
import torch
from joblib import Parallel, delayed
from matplotlib.figure import Figure
from scipy.stats import binomtest
from tqdm.auto import tqdm

from bundle.analysis.calibration import N_FACTORS, SIGNIFICANCE, Scenario, factors_found, strata_found
from bundle.analysis.simulated_cohorts import CONTINUA
from bundle.data.problems import InputProblems
from bundle.data.tables import read_table, write_table
from bundle.paths import CALIBRATION, stage_folder
from bundle.pictures import save_figure
from bundle.strata.power_picture import power_picture, power_rows

logger = logging.getLogger(__name__)
SAFEGUARDS = (
    "gaps with null",
    "gaps",
    "families exchanged, Benjamini-Hochberg",
    "families exchanged, max-T",
    "embedding and phenotype adjusted",
)
UNADJUSTED = ("families exchanged, Benjamini-Hochberg", "families exchanged, max-T")
"""Ways of looking that say nothing against a confounder."""
ENOUGH = 30
CONTINUUM_SIZES = ((300, 17), (300, 5), (150, 5), (300, 30), (1000, 17))
POWER_SIZES = ((150, 5), (150, 17), (300, 5), (300, 17), (300, 30), (1000, 17))
POWER_SHARES, POWER_SEPARATIONS = (0.5, 0.25, 0.1, 0.05), (3, 4, 5, 6, 8)
SEX_ONLY = "factors: sex confound only"


def scenarios(n_permutations: int) -> list[Scenario]:
    """Every scenario, in the order of the table."""
    tested = partial(factors_found, n_permutations=n_permutations)
    return [
        *(
            Scenario(
                f"strata: none, {shape}, {n_people} participants, {n_axes} axes",
                partial(strata_found, shape=shape, n_people=n_people, n_axes=n_axes),
            )
            for n_people, n_axes in CONTINUUM_SIZES
            for shape in CONTINUA
        ),
        *(Scenario(name, found, is_effect=True) for name, found in grouped_scenarios().items()),
        Scenario("factors: nothing", tested),
        Scenario("factors: kinship only", partial(tested, kinship=True)),
        Scenario(SEX_ONLY, partial(tested, sex=True)),
        Scenario("factors: heavy tails", partial(tested, heavy=True)),
        Scenario("factors: kinship and heavy tails", partial(tested, kinship=True, heavy=True)),
        *(
            Scenario(
                f"factors: one differs, {effect:.0%} of its variance",
                partial(tested, kinship=True, effect=effect),
                is_effect=True,
            )
            for effect in (0.05, 0.1, 0.15)
        ),
    ]


def grouped_scenarios() -> Mapping[str, Callable[[int], dict[str, bool]]]:
    """Cohorts with groups, by name: `power: ` asks for gaps alone, since the null takes long and hardly ever says no."""
    found = partial(strata_found, with_null=False)
    cases = {
        f"power: {n_people} participants, {n_axes} axes, {share:.0%}, {separation} apart": partial(
            found, shares=(1 - share, share), separation=separation, n_people=n_people, n_axes=n_axes
        )
        for n_people, n_axes in POWER_SIZES
        for share in POWER_SHARES
        for separation in POWER_SEPARATIONS
    }
    several = {3: (5, 3, 2), 4: (1, 1, 1, 1), 6: (1, 1, 1, 1, 1, 1)}
    cases |= {
        f"power: {n_people} participants, {len(shares)} groups of {':'.join(map(str, shares))}, {separation} apart": partial(
            found, shares=shares, separation=separation, n_people=n_people, n_axes=9
        )
        for shares in several.values()
        for n_people in (150, 300)
        for separation in (4, 5)
    }
    cases["power: 300 participants, 17 axes, 25%, 5 apart, half as wide"] = partial(
        found, shares=(3, 1), separation=5, spreads=(1, 0.5)
    )
    whole = {"strata: 10%, 5 apart": partial(strata_found, shares=(9, 1), separation=5)}
    whole["strata: four groups of 150 participants, 4 apart"] = partial(
        strata_found, shares=(1, 1, 1, 1), separation=4, n_people=150, n_axes=9
    )
    return whole | cases


def calibrate(
    output_dir: str,
    only: str | Sequence[str] | None,
    n_cohorts: int,
    n_cohorts_with_effect: int,
    n_permutations: int,
    seed: int,
    num_workers: int = 2,
    progress: bool = True,
) -> pd.DataFrame:
    """Count what is found in simulated cohorts; write `calibration/`. Scenarios of earlier runs stay in the table.

    Args:
        output_dir: results folder.
        only: scenarios whose name starts so, one or several; None for all.
        n_cohorts: of each scenario without an effect.
        n_cohorts_with_effect: of each with one.
        n_permutations: of families, in the tests of factors.
        seed: of the first cohort; the next ones count up.
        num_workers: processes.
        progress: show a bar per scenario.

    Returns:
        A row per scenario and way of looking: `scenario`, `way`, `is_safeguard`, `n_cohorts`, `n_found`, `rate`, `low`,
        `high` (95 % Clopper-Pearson), `expected`, `holds`, `seed`.

    Raises:
        InputProblems: for a name that no scenario has.
    """
    known = scenarios(n_permutations)
    names = [one.name for one in known]
    wanted = [only] if isinstance(only, str) else names if only is None else list(only)
    unknown = [word for word in wanted if not any(name.startswith(word) for name in names)]
    problems = [f"--only {word!r} is the start of none of these: {'; '.join(names)}." for word in unknown]
    if n_permutations + 1 < N_FACTORS / SIGNIFICANCE:
        problems.append(
            f"{n_permutations} permutations cannot give q <= {SIGNIFICANCE}: set n_permutations to 259 or more."
        )
    if min(n_cohorts, n_cohorts_with_effect) < 1:
        problems.append(f"Expected a cohort or more, got {n_cohorts} and {n_cohorts_with_effect} with an effect.")
    if problems:
        raise InputProblems("Calibration", problems)
    file = stage_folder(output_dir, CALIBRATION) / "calibration.tsv"
    done = read_table(file).to_dict("records") if file.is_file() else []
    for scenario in known:
        if not any(scenario.name.startswith(word) for word in wanted):
            continue
        count = n_cohorts_with_effect if scenario.is_effect else n_cohorts
        jobs = (delayed(_one_thread)(scenario, seed + number) for number in range(count))
        with Parallel(n_jobs=num_workers, return_as="generator") as parallel:
            found = list(tqdm(parallel(jobs), total=count, desc=scenario.name, disable=not progress))
        answers = pd.DataFrame(found)
        rows = [_row(scenario, str(way), answers[way]) | {"seed": seed} for way in answers]
        done = [row for row in done if row["scenario"] != scenario.name] + rows
        done.sort(key=lambda row: names.index(row["scenario"]) if row["scenario"] in names else len(names))
        table = pd.DataFrame(done)
        write_table(table, file)  # after each scenario: what is done is not lost
    save_figure(calibration_picture(table), file.with_suffix(".png"))
    powers = power_rows(table)
    if len(powers):
        save_figure(power_picture(powers), file.with_name("power.png"))
    logger.info("%s\nWritten: %s: calibration.tsv, calibration.png", _words(table), file.parent)
    return table


def _one_thread(scenario: Scenario, seed: int) -> dict[str, bool]:
    torch.set_num_threads(1)
    return scenario.cohort(seed)


def _row(scenario: Scenario, way: str, found: pd.Series) -> dict:
    interval = binomtest(int(found.sum()), len(found)).proportion_ci()
    is_safeguard = way in SAFEGUARDS and not (scenario.name == SEX_ONLY and way in UNADJUSTED)
    holds = None
    if is_safeguard and not scenario.is_effect:
        holds = bool(interval.low <= SIGNIFICANCE)
    return {
        "scenario": scenario.name,
        "way": way,
        "is_safeguard": is_safeguard,
        "n_cohorts": len(found),
        "n_found": int(found.sum()),
        "rate": float(found.mean()),
        "low": float(interval.low),
        "high": float(interval.high),
        "expected": "often" if scenario.is_effect else f"at most {SIGNIFICANCE}",
        "holds": holds,
    }


def calibration_picture(table: pd.DataFrame) -> Figure:
    """How often something is found, with intervals: blue with a safeguard, orange without."""
    figure = Figure(figsize=(10, 1.2 + 0.27 * len(table)), layout="constrained")
    panel = figure.subplots()
    for number, row in enumerate(table.itertuples()):
        colour = "#0072B2" if row.is_safeguard else "#E69F00"
        panel.errorbar(
            row.rate,
            number,
            xerr=[[row.rate - row.low], [row.high - row.rate]],
            fmt="o",
            color=colour,
            capsize=2,
            markerfacecolor="white" if row.expected == "often" else colour,
        )
    panel.axvline(SIGNIFICANCE, color="0.5", linestyle="--", linewidth=1)
    panel.set_yticks(range(len(table)), [f"{row.scenario}: {row.way}" for row in table.itertuples()], fontsize=8)
    panel.set(
        xlabel="share of simulated cohorts in which something is found, 95 % interval",
        xlim=(-0.02, 1.02),
        ylim=(len(table) - 0.5, -0.5),
    )
    panel.set_title(
        "Blue: with the safeguard. Orange: without. Dashed: 5 %, the most where there is nothing", fontsize=10
    )
    return figure


def _words(table: pd.DataFrame) -> str:
    shown = table.drop(columns=["is_safeguard", "expected"])
    lines = [shown.to_string(index=False, float_format=lambda value: f"{value:.3f}")]
    broken = table[table["holds"].eq(False)]
    if table["n_cohorts"].min() < ENOUGH:
        lines.append(f"Fewer than {ENOUGH} cohorts of a scenario say little: look at the intervals.")
    lines.append(
        "Every safeguard holds its 5 % within the binomial interval."
        if broken.empty
        else "Above 5 %: " + "; ".join(f"{row.scenario}, {row.way}" for row in broken.itertuples())
    )
    return "\n".join(lines)
