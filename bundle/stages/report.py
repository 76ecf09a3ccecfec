"""Stage 7: one page that says what was found, how, and what it does not say."""

from __future__ import annotations

import logging
from pathlib import Path

from bundle.data.atomic import write_text
from bundle.paths import PHENOTYPING, REPORT, stage_folder
from bundle.report.blocks import Section, Text
from bundle.report.continuum import continuum_section
from bundle.report.contributions import contributions_section
from bundle.report.cross_validation import cross_validation_section
from bundle.report.factors import factors_section
from bundle.report.files import files_section, missing_stages
from bundle.report.headline import headline, key_figures
from bundle.report.limits import limits_section
from bundle.report.methods import methods_section
from bundle.report.network import reconstruction_section, training_section
from bundle.report.people import embedding_section, people_section
from bundle.report.prediction import prediction_section
from bundle.report.profile import comparison, profile_section
from bundle.report.results import Results, read_results
from bundle.report.sites import sites_section
from bundle.report.strata import strata_section
from bundle.report.template import render_template

logger = logging.getLogger(__name__)
TEMPLATE = "page.html"
PAGE = "report.html"


def report(output_dir: str) -> Path:
    """Write `7_report/report.html` from what the stages before left.

    Args:
        output_dir: results folder.

    Returns:
        The page.

    Raises:
        InputProblems: if no stage has run, or a file is broken or lacks a column.
    """
    results = read_results(output_dir)
    page = render(results)
    file = stage_folder(output_dir, REPORT) / PAGE
    write_text(page, file)
    lines = [*headline(results), *[f"{note.words}: {note.command}" for note in missing_stages(results)]]
    lines.append(f"Written: {file} ({len(page) / 1e6:.1f} MB; it needs no network and no other file)")
    logger.info("%s", "\n".join(lines))
    return file


def render(results: Results) -> str:
    """The page as text."""
    return render_template(
        TEMPLATE, headline=headline(results), key_figures=key_figures(results), sections=sections(results)
    )


def sections(results: Results) -> list[Section]:
    """In the order of reading; the continuum stands where the strata's profile would be if there are no strata."""
    parts = [
        people_section(results),
        training_section(results),
        reconstruction_section(results),
        cross_validation_section(results),
        embedding_section(results),
        *prediction_section(results),
        strata_section(results),
        factors_section(results),
    ]
    by_site = sites_section(results)
    if PHENOTYPING in results.facts:
        if results.has_strata:
            parts += [profile_section(results), *by_site, continuum_section(results), contributions_section(results)]
        else:
            parts = [
                continuum_section(results),
                *parts,
                *by_site,
                *_unadjusted(results),
                contributions_section(results),
            ]
    else:
        parts += by_site
    return [*parts, limits_section(results), methods_section(results), files_section(results)]


def _unadjusted(results: Results) -> list[Section]:
    """Strata that only embeddings with their covariates have, hence perhaps the covariates' and not the brains'."""
    tests = results.table(PHENOTYPING, "tests")
    if tests is None:
        return []
    words = str(results.facts[PHENOTYPING]["strata_headlines"].get("raw", ""))
    meaning = (
        f"Embeddings with their covariates: {words}. Once covariates are regressed out, no strata are left; what follows "
        "may be theirs."
    )
    return [
        Section(
            "unadjusted", "Before covariates are regressed out", [Text(meaning, "note"), *comparison(results, tests)]
        )
    ]
