import base64
import html
import json
import re
import shutil
import subprocess
from functools import partial

import monai.bundle
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from bundle.data.embedding_table import EmbeddingTable
from bundle.data.problems import InputProblems
from bundle.pictures import save_figure
from bundle.report.numbers import digits, least_p, p_value, share
from bundle.stages.report import report
from tests.conftest import root_cause

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
N_PEOPLE = 60
ENCODER = "aaaaaaaaaaaa"
MAPS = ("T1w", "FA", "NDI", "JAC")
FACTORS = {f"F{n}": name for n, name in enumerate(["mood", "memory and learning speed", "sleep", "strength"], 1)}
VERSIONS = ("raw", "phenotype adjusted", "code and phenotype adjusted", "validation")
PRIMARY = "code and phenotype adjusted"
NAMES = [f"sub-{number:03d}" for number in range(N_PEOPLE)]


def save(frame, folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(frame).to_csv(folder / f"{name}.tsv", sep="\t", index=False, na_rep="n/a", float_format="%.6g")


def paint(file, width=4.0, height=3.0):
    figure = Figure(figsize=(width, height))
    figure.subplots().plot(np.random.default_rng(0).standard_normal(50))
    file.parent.mkdir(parents=True, exist_ok=True)
    save_figure(figure, file)


def write_images(folder):
    """Stages 1 to 4, as they leave them, without images."""
    rng = np.random.default_rng(0)
    people = [{"participant_id": name, "family_id": f"fam-{number // 2}"} for number, name in enumerate(NAMES)]
    datalist = {"modalities": MAPS, "spatial_size": [64, 64, 48]}
    datalist |= {"training": people[:40], "validation": people[40:50], "test": people[50:]}
    (folder / "1_prepared").mkdir(parents=True)
    (folder / "1_prepared" / "datalist.json").write_text(json.dumps(datalist))
    epochs = np.arange(1, 6)
    log = {"epoch": epochs, "loss": 1 / epochs, "skill": 0.8 - 0.5 / epochs, "seconds": 30.0}
    save(log, folder / "2_training", "log")
    paint(folder / "2_training" / "learning_curve.png", 10, 4)
    summary = {"modality": MAPS, "skill": [0.79, 0.75, 0.73, 0.85], "pca_skill": 0.7, "skill_code_swapped": -0.7}
    summary |= {"ssim": 0.9, "identifiability": 1.0, "above_pca_low": 0.02, "above_pca_high": 0.09}
    save(summary, folder / "3_evaluation", "summary")
    rows = [(name, modality) for name in NAMES[50:] for modality in MAPS]
    skills = pd.DataFrame(rows, columns=["participant_id", "modality"]).assign(
        skill=rng.uniform(0.6, 0.9, 40), ssim=0.9
    )
    save(skills, folder / "3_evaluation", "people")
    for word in ("median", "worst"):
        paint(folder / "3_evaluation" / f"reconstruction_{word}.png", 10, 16)
    codes = rng.standard_normal((N_PEOPLE, 40)).astype(np.float32)
    codes[:, :3] += 6 * np.eye(3, dtype=np.float32)[np.arange(N_PEOPLE) % 3]
    table = EmbeddingTable(np.array(NAMES), codes, np.full(N_PEOPLE, 0.2), ENCODER, MAPS, {"torch": "2.13.0"})
    table.write_arrays(folder / "4_embeddings")


def write_clusters(folder, n_strata):
    """Stage 5."""
    target = folder / "5_clusters"
    none = "no discrete strata found (p = 0.38; the chosen partition had 2 clusters)"
    headline = f"{n_strata} strata (p = 0.01)" if n_strata > 1 else none
    strata = np.arange(N_PEOPLE) % n_strata + 1
    save({"participant_id": NAMES, "stratum": strata}, target, "strata")
    numbers = np.arange(1, n_strata + 1)
    sizes = {"stratum": numbers, "size": N_PEOPLE // n_strata, "share": 1 / n_strata, "silhouette": 0.4}
    save(sizes | {"jaccard": 0.9, "jaccard_low": 0.8, "jaccard_high": 1.0}, target, "strata_summary")
    candidates = {"n_clusters": [2, 3], "plateau": [2, 6], "stability": [0.7, 0.95], "silhouette": [0.2, 0.4]}
    candidates |= {"stability_low": 0.5, "stability_high": 1.0, "chosen": [False, True]}
    save(candidates, target, "candidates")
    save({"silhouette": np.linspace(0.1, 0.2, 99), "stability": 0.5, "n_clusters": 2}, target, "null")
    save({"cluster": numbers, "nearest_cluster": numbers[::-1], "middle": 3, "flank": 20}, target, "gaps")
    others = {"method": ["k-means", "HDBSCAN"], "n_clusters": 3, "share_noise": [0, 0.4], "ami": [0.95, 0.5]}
    save(others, target, "other_methods")
    for name, width in (("choice", 15), ("people", 6)):
        paint(target / f"{name}.png", width, 4)
    choice = {"preference": "scan", "n_preferences": 32, "dampings": [0.7, 0.9], "max_iterations": 500}
    choice |= {"max_strata": 10, "min_stratum_share": 0.05, "n_subsamples": 10, "subsample_share": 0.5}
    settings = {"standardise": False, "reduce": True, "choice": choice, "reference": "gaussian", "n_references": 99}
    facts = {
        "headline": headline,
        "n_strata": n_strata,
        "p_value": 0.01 if n_strata > 1 else 0.38,
        "silhouette": 0.4,
        "stability": 0.95,
        "n_people": N_PEOPLE,
        "covariates": ["age_years", "sex"],
        "n_dimensions": 7,
        "explained": 0.66,
        "gap_p_value": 1e-9,
        "notes": [],
        "settings": settings | {"significance": 0.05, "choice_size": 1000, "n_stability": 50, "seed": 4},
        "encoders": [{"encoder_hash": ENCODER, "headline": headline, "n_strata": n_strata}],
    }
    (target / "summary.json").write_text(json.dumps(facts))


def write_phenotypes(
    folder, n_strata, encoder_hash=ENCODER, n_people=N_PEOPLE, label="Feels <script>alert(1)</script> low"
):
    """Stage 6."""
    rng = np.random.default_rng(1)
    target = folder / "6_phenotypes"
    both = {"factor": list(FACTORS), "name": list(FACTORS.values())}
    save(
        {
            "step": ["with an embedding", "with phenotypes", "analysed"],
            "people": [n_people, n_people - 3, n_people - 10],
            "reason": [None, "no row in the phenotypes table", "more than half of the items missing"],
        },
        target,
        "flow",
    )
    reasons = ["no row in the phenotypes table"] * 3 + ["more than half of the items missing"] * 7
    save({"participant_id": [f"sub-9{n}" for n in range(10)], "reason": reasons}, target, "left_out")
    items = [f"item_{number:02d}" for number in range(24)]
    labels = [label, *[f"A question about subject {number}" for number in range(1, 24)]]
    state = ["used"] * 20 + ["left out"] * 2 + ["demographic"] * 2
    reason = [None] * 20 + ["alike for everybody"] * 2 + ["is a covariate"] * 2
    save(
        {"item": items, "label": labels, "state": state, "reason": reason, "missing": rng.uniform(0, 0.1, 24)},
        target,
        "items",
    )
    factors = {
        "explained": [0.2, 0.15, 0.1, 0.05],
        "congruence": 0.97,
        "congruence_low": 0.9,
        "top_items": ", ".join(labels[1:4]),
    }
    save(both | factors, target, "factors")
    loadings = {"item": items[:20], "label": labels[:20]} | {name: rng.uniform(-1, 1, 20) for name in FACTORS}
    save(loadings | {"communality": 0.6}, target, "loadings")
    save(
        {"covariate": ["age_years", "sex"], "share": [0.1, 0.03], "share_last": [0.08, 0.002]},
        target,
        "code_covariates",
    )
    if n_strata > 1:
        _write_tests(target, both, n_strata, n_people)
    continuum = []
    for predictor, n_predictors in (("strata", n_strata), ("components", 7), ("ridge", 1536), ("linear fusion", 7)):
        if predictor != "strata" or n_strata > 1:
            for factor, name in FACTORS.items():
                r2 = rng.uniform(-0.02, 0.3)
                continuum.append((PRIMARY, factor, name, predictor, n_predictors, r2, r2 - 0.05, r2 + 0.05))
    save(
        pd.DataFrame(
            continuum, columns=["version", "factor", "name", "predictor", "n_predictors", "r2", "low", "high"]
        ),
        target,
        "continuum",
    )
    strata = ["everybody", *[str(number) for number in range(1, n_strata + 1)]]
    shares = [
        (stratum, modality, value)
        for stratum in strata
        for modality, value in zip(MAPS, (0.4, 0.3, 0.2, 0.1), strict=True)
    ]
    save(pd.DataFrame(shares, columns=["stratum", "modality", "share"]), target, "modality_share")
    shares = [(dimension, modality, 0.25) for dimension in (1, 2) for modality in MAPS]
    save(pd.DataFrame(shares, columns=["dimension", "modality", "share"]), target, "dimension_share")
    for name in ("loadings", "continuum", "maps", *(["profile"] if n_strata > 1 else [])):
        paint(target / f"{name}.png", 8, 5)
    with_strata = "2 of 4 phenotype factors differ between the strata, beyond covariates."
    without = "Codes predict 3 of 4 phenotype factors by degrees; the best is mood (R² 0.21)."
    words = f"{n_strata} strata" if n_strata > 1 else "no discrete strata found"
    facts = {
        "headline": with_strata if n_strata > 1 else without,
        "notes": ["Motion was not known, so it could not be taken out."],
        "n_people": n_people - 10,
        "n_families": n_people // 2 - 5,
        "n_strata": {"raw": n_strata, "adjusted": n_strata},
        "strata_headlines": {"raw": words, "adjusted": words},
        "primary": PRIMARY,
        "n_factors": 4,
        "factor_rule": "parallel analysis",
        "rank_normalise": True,
        "covariates": ["age_years", "sex"],
        "n_permutations": 9999,
        "n_bootstrap": 1000,
        "exchange": "whole families of one size and the same zygosity",
        "share_fixed": 0.02,
        "significance": 0.05,
        "least_detectable": 0.041,
        "seed": 7,
        "encoder_hash": encoder_hash,
        "versions": {"scipy": "1.17.1"},
    }
    (target / "summary.json").write_text(json.dumps(facts))


def _write_tests(target, both, n_strata, n_people):
    tests = []
    for version in VERSIONS:
        effects = [0.21, 0.06, 0.01, 0.002]
        tests.append(
            pd.DataFrame(both).assign(
                version=version, n_people=n_people, n_strata=n_strata, h=[60.1, 17.2, 3.3, 0.4], p_chi2=0.01,
                p=[0.0001, 0.003, 0.3, 0.8], p_max_t=[0.0001, 0.01, 0.7, 1], q=[0.0004, 0.006, 0.4, 0.8],
                epsilon_squared=effects, low=np.array(effects) * 0.5, high=np.array(effects) * 1.5 + 0.01,
                least_detectable=0.041, found=[True, True, False, False],
            )
        )  # fmt: skip
    save(pd.concat(tests), target, "tests")
    levels = np.arange(1, n_strata + 1)
    pairs = [(PRIMARY, "F1", "mood", a, b, 3.2, 0.0001, 0.0006) for a in levels for b in levels if a < b]
    columns = ["version", "factor", "name", "stratum_a", "stratum_b", "z", "p", "p_holm"]
    save(pd.DataFrame(pairs, columns=columns), target, "pairs")
    profile = [
        (version, factor, name, stratum, n_people // n_strata, 0.1 * stratum, 0.1 * stratum - 0.2, 0.1 * stratum + 0.2)
        for version in VERSIONS
        for factor, name in FACTORS.items()
        for stratum in levels
    ]
    columns = ["version", "factor", "name", "stratum", "n_people", "mean", "low", "high"]
    save(pd.DataFrame(profile, columns=columns), target, "profile")
    people = [("age_years", None, stratum, 20, 30 + stratum, 4.2) for stratum in levels]
    people += [("sex", level, stratum, 10, 0.5, None) for level in ("F", "M") for stratum in levels]
    save(
        pd.DataFrame(people, columns=["variable", "level", "stratum", "n_people", "mean", "sd"]),
        target,
        "strata_people",
    )


def write_cross_validation(folder, missing=()):
    """Stage 8."""
    target = folder / "8_cross_validation"
    people = pd.DataFrame(
        [(name, modality) for name in NAMES for modality in MAPS], columns=["participant_id", "modality"]
    )
    people["family_id"] = [f"fam-{number // 2}" for number in range(N_PEOPLE) for _ in MAPS]
    save(people.assign(fold=1, skill=0.7), target, "people")
    figures = {
        "skill": 0.731,
        "pca_skill": 0.65,
        "above_pca": 0.081,
        "mse_mask": 0.2,
        "norm_diff": 0.1,
        "identifiability": 0.95,
    }
    row = {"n_people": N_PEOPLE, "n_families": N_PEOPLE // 2, "cnr_ratio": None, "skill_lowest_fold": 0.7}
    for name, value in figures.items():
        row |= {name: value, f"{name}_low": value - 0.01, f"{name}_high": value + 0.01}
    summary = pd.DataFrame({"modality": MAPS}).assign(**row, skill_highest_fold=0.76)
    save(summary, target, "summary")
    save(pd.concat([summary.assign(fold=fold) for fold in range(1, 11) if fold not in missing]), target, "per_fold")
    paint(target / "folds.png", 12, 4)
    facts = {"headline": "Incomplete: 9 of 10 folds; missing: 4." if missing else "All 10 folds are in.", "n_folds": 10}
    facts |= {
        "missing": list(missing),
        "n_people": N_PEOPLE,
        "n_families": N_PEOPLE // 2,
        "stratified": ["sex", "site"],
    }
    (target / "summary.json").write_text(json.dumps(facts | {"made_with": {"max_epochs": 6}}))


def write_results(folder, n_strata=3):
    """A results folder of all stages."""
    write_images(folder)
    write_clusters(folder, n_strata)
    write_phenotypes(folder, n_strata)
    write_cross_validation(folder)
    return folder


def page_of(folder):
    return report(str(folder)).read_text()


def text_of(page):
    """What a reader reads, without markup."""
    body = page[page.index("<body>") :]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


def refused(folder):
    with pytest.raises(InputProblems) as caught:
        report(str(folder))
    assert not (folder / "7_report").exists()
    return str(caught.value)


@pytest.fixture(scope="module")
def with_strata(tmp_path_factory):
    folder = write_results(tmp_path_factory.mktemp("with") / "results")
    return folder, page_of(folder)


@pytest.fixture(scope="module")
def without_strata(tmp_path_factory):
    folder = write_results(tmp_path_factory.mktemp("without") / "results", n_strata=1)
    return folder, page_of(folder)


def test_reporting_runs_as_a_bundle_stage(tmp_path):
    write_results(tmp_path / "results")
    monai.bundle.run(run_id="reporting", config_file="configs/report.yaml", output_dir=str(tmp_path / "results"))
    assert (tmp_path / "results" / "7_report" / "report.html").stat().st_size > 50_000


def test_page_needs_nothing_from_elsewhere(with_strata):
    _, page = with_strata
    assert "http://" not in page and "https://" not in page and "<script" not in page and "<link" not in page
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'src="([^"]*)"', page))
    assert "url(" not in page and "@import" not in page
    assert all(target.startswith("#") for target in re.findall(r'href="([^"]*)"', page))
    assert len(page) < 5e6


def test_headline_stands_first_and_every_heading_has_its_link(with_strata):
    _, page = with_strata
    text = text_of(page)
    headline = "60 people fall into 3 strata (p = 0.010)"
    assert text.startswith(f" brainstrata report {headline}") and "2 of 4 phenotype factors differ" in text
    anchors = re.findall(r'<section id="([^"]+)"', page)
    assert anchors == re.findall(r'href="#([^"]+)"', page) and len(set(anchors)) == len(anchors)
    assert {"people", "training", "reconstructions", "embedding", "strata", "factors", "profile"} < set(anchors)
    assert {"continuum", "contributions", "limits", "methods", "files"} < set(anchors)


def test_no_strata_is_said_first_and_the_continuum_takes_the_profiles_place(without_strata):
    _, page = without_strata
    text = text_of(page)
    assert text.startswith(" brainstrata report No discrete strata were found. This is a normal result")
    assert "Codes predict 3 of 4 phenotype factors" in text
    anchors = re.findall(r'<section id="([^"]+)"', page)
    assert anchors[0] == "continuum" and "profile" not in anchors
    assert "Profile" not in text and "Strata against factors" not in text and "Gaps between" not in text


@pytest.mark.parametrize("n_clusters", [1, 3])
def test_strata_of_unadjusted_codes_alone_are_no_finding(tmp_path, n_clusters):
    folder = write_results(tmp_path / "results")
    write_clusters(folder, n_clusters)
    facts = json.loads((folder / "6_phenotypes" / "summary.json").read_text())
    facts["n_strata"] = {"raw": 3, "adjusted": 1}
    (folder / "6_phenotypes" / "summary.json").write_text(json.dumps(facts))
    text = text_of(page_of(folder))
    assert text.startswith(" brainstrata report No discrete strata were found")
    assert "Once covariates are taken out, no strata are left" in text and "three ways" in text
    assert ("Before covariates were taken out, the codes of 60 people had 3 strata" in text) == (n_clusters == 3)


@pytest.mark.parametrize(
    ("stage", "command"),
    [
        ("2_training", "training --config_file configs/train.yaml"),
        ("3_evaluation", "evaluating --config_file configs/evaluate.yaml"),
        ("4_embeddings", "embedding --config_file configs/inference.yaml --dataset_dir FOLDER"),
        ("5_clusters", "clustering --config_file configs/cluster.yaml"),
        ("6_phenotypes", "phenotyping --config_file configs/phenotypes.yaml"),
        ("8_cross_validation", "cross_validating --config_file configs/cross_validate.yaml"),
    ],
)
def test_a_stage_that_has_not_run_is_named_with_its_command(tmp_path, stage, command):
    folder = write_results(tmp_path / "results")
    shutil.rmtree(folder / stage)
    text = text_of(page_of(folder))
    assert f"not been run. The command is python -m monai.bundle run {command} --output_dir {folder}" in text
    assert text.count("not been run") == 1


@pytest.mark.parametrize(
    "stage", ["2_training", "3_evaluation", "4_embeddings", "5_clusters", "6_phenotypes", "8_cross_validation"]
)
def test_one_stage_is_enough(tmp_path, stage):
    folder = write_results(tmp_path / "results")
    for other in folder.iterdir():
        if other.name != stage:
            shutil.rmtree(other)
    assert text_of(page_of(folder)).count("not been run") >= 5


def test_cross_validation_is_told_with_its_interval_and_says_if_it_is_incomplete(with_strata, tmp_path):
    _, page = with_strata
    text = text_of(page)
    assert "60 people in 30 families were each drawn by a network that was trained without them" in text
    assert "0.731 0.721 0.741 0.700 0.760" in text and "95 % of the reconstructions are nearer" in text
    assert "10 folds, alike in sex and site, and a network of its own was trained for 6 epochs" in text
    assert "Incomplete" not in text
    folder = write_results(tmp_path / "results")
    write_cross_validation(folder, missing=[4])
    text = text_of(page_of(folder))
    assert "Incomplete: 9 of 10 folds; missing: 4." in text and "without each (1 fold missing)" in text


def test_nothing_to_report_is_refused(tmp_path):
    assert "expected at least one of 2_training" in refused(tmp_path)


def test_markup_in_the_users_words_is_shown_and_not_obeyed(with_strata):
    _, page = with_strata
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "<script>" not in page


def test_every_picture_has_words_and_every_table_a_caption_and_a_file(with_strata):
    folder, page = with_strata
    pictures = re.findall(r"<img [^>]*>", page)
    assert len(pictures) >= 11 and all(re.search(r'alt="[^"]{20,}"', picture) for picture in pictures)
    assert page.count("<table") == page.count("<caption>") == page.count("<thead>") >= 15
    files = re.findall(r"File: <code>([^<]+)</code>", page)
    assert len(files) >= 12 and all((folder / file).is_file() for file in files)


def test_what_the_images_themselves_show_is_called_descriptive_and_has_no_p(with_strata):
    _, page = with_strata
    section = page[page.index('<section id="contributions"') : page.index('<section id="limits"')]
    assert section.count('class="tag">descriptive') == 3
    assert not re.search(r"\bp = |<th[^>]*>p\b|<th[^>]*>q\b", section)
    captions = re.findall(r"<caption>(.*?)</caption>", page)
    assert "descriptive" in next(caption for caption in captions if caption.startswith("Who is in each stratum"))


def test_methods_give_the_settings_that_were_used(with_strata):
    _, page = with_strata
    text = text_of(page[: page.index("<body>")] + "<body>" + page[page.index('<section id="methods"') :])
    for words in (
        "60 people in 30 families on a grid of 64 x 64 x 48 voxels",
        "40 for training, 10 for validation, 10 for testing",
        "trained for 5 epochs; the weights of epoch 5",
        "age_years and sex were taken out of the codes",
        "Parallel analysis kept 7 principal axes, with 66 % of the variance",
        "at 32 preferences, with the first damping of 0.7 and 0.9 that converged in 500 sweeps",
        "repeated on 99 cohorts that are one Gaussian cloud",
        "20 phenotype items, rank-normalised, of 50 people in 25 families were standardised",
        "9,999 permutations (whole families of one size and the same zygosity)",
        "1,000 bootstrap samples of families",
        f"Encoder {ENCODER}",
        "Seed of clustering 4",
        "Seed of phenotypes 7",
        "scipy 1.17.1",
        "SHA-256 of 4_embeddings/embeddings.npz",
    ):
        assert words in text
    assert "None" not in text and "nan" not in text


def test_methods_tell_what_training_stored(trained, tmp_path):
    folder = tmp_path / "results"
    shutil.copytree(trained, folder)
    text = text_of(page_of(folder))
    assert "FoldedFusionAutoencoder: scaling residual; widths 16 and 24" in text and "batch size 4" in text
    assert "Seed of training 0" in text


def test_people_who_left_are_counted_and_not_named(with_strata):
    _, page = with_strata
    text = text_of(page)
    assert "3 left out: no row in the phenotypes table" in text and "7 left out: more than half" in text
    assert "sub-90" not in text


def test_nothing_but_the_report_is_written_and_it_is_whole(tmp_path, monkeypatch):
    folder = write_results(tmp_path / "results")
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    page = page_of(folder)
    after = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert {file.relative_to(folder).as_posix() for file in after.keys() - before.keys()} == {"7_report/report.html"}
    assert all(after[file] == content for file, content in before.items())
    monkeypatch.setattr("bundle.data.atomic.os.replace", partial(_fail, "disk full"))
    with pytest.raises(OSError, match="disk full"):
        report(str(folder))
    assert [file.name for file in (folder / "7_report").iterdir()] == ["report.html"]
    assert (folder / "7_report" / "report.html").read_text() == page


def _fail(words, *_):
    raise OSError(words)


def test_broken_tables_are_refused_by_file_and_column(tmp_path):
    folder = write_results(tmp_path / "results")
    tests = pd.read_csv(folder / "6_phenotypes" / "tests.tsv", sep="\t", dtype=str)
    save(tests.drop(columns="epsilon_squared").assign(q="small"), folder / "6_phenotypes", "tests")
    (folder / "5_clusters" / "null.tsv").write_bytes(b"\xff\xfe\x00")
    text = refused(folder)
    assert "tests.tsv: expected a column 'epsilon_squared'" in text
    assert "tests.tsv: expected numbers in column 'q', got 'small'" in text
    assert "null.tsv: is no tab-separated table" in text


def test_broken_summaries_and_pictures_are_refused(tmp_path):
    folder = write_results(tmp_path / "results")
    (folder / "5_clusters" / "choice.png").write_bytes(b"no picture")
    assert "choice.png is no picture" in refused(folder)
    (folder / "5_clusters" / "summary.json").write_text('{"headline": "x"}')
    assert "summary.json: has no 'n_strata'" in refused(folder)
    (folder / "5_clusters" / "summary.json").write_text("{")
    assert "summary.json is broken" in refused(folder)


def test_stages_of_different_encoders_are_refused(tmp_path):
    folder = write_results(tmp_path / "results")
    write_phenotypes(folder, 3, encoder_hash="bbbbbbbbbbbb")
    text = refused(folder)
    assert (
        "6_phenotypes is of encoder bbbbbbbbbbbb, 5_clusters of aaaaaaaaaaaa" in text
        and "Run phenotyping again" in text
    )


def test_broken_input_is_reported_through_the_bundle_too(tmp_path):
    with pytest.raises(InputProblems, match="Nothing to report"):
        try:
            monai.bundle.run(run_id="reporting", config_file="configs/report.yaml", output_dir=str(tmp_path))
        except RuntimeError as error:
            raise root_cause(error) from None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.43, "0.43"), (0.0312, "0.031"), (0.0032, "0.003"), (0.0001, "0.0001"), (1e-9, "< 0.0001"), (None, "n/a")],
)
def test_p_values_are_written_for_people(value, text):
    assert p_value(value) == text


def test_other_numbers_are_written_for_people():
    assert share(0.256) == "26 %" and share(0.004) == "0.4 %" and digits(2)(-0.001) == "0.00"
    assert least_p(9999) == "0.0001 is the least that 9,999 permutations can give."


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("kind", ["with_strata", "without_strata"])
def test_in_a_browser_every_picture_shows_and_nothing_overflows(kind, width, request, tmp_path):
    _, page = request.getfixturevalue(kind)
    seen = in_a_browser(page, width, tmp_path)
    assert seen["width"] == width and seen["pictures"] >= 9 and seen["hidden"] == []
    assert seen["scrollWidth"] <= width and seen["overflowing"] == []


def in_a_browser(page, width, folder):
    """What chromium says of the page in a frame of that width (its own windows cannot be as narrow as a phone)."""
    script = """
<iframe id="frame" style="width:WIDTHpx;height:900px;border:0"></iframe><pre id="seen"></pre>
<script>
const frame = document.getElementById("frame");
frame.onload = () => {
  const inner = frame.contentDocument, all = [...inner.querySelectorAll("body *")], pictures = [...inner.images];
  const sticksOut = e => e.getBoundingClientRect().right > frame.clientWidth + 1 && !e.closest(".scroll");
  document.getElementById("seen").textContent = JSON.stringify({
    width: frame.contentWindow.innerWidth,
    scrollWidth: inner.documentElement.scrollWidth,
    pictures: pictures.length,
    hidden: pictures.filter(p => !p.naturalWidth || !p.getBoundingClientRect().width).map(p => p.alt),
    overflowing: all.filter(sticksOut).map(e => e.outerHTML.slice(0, 80)),
  });
};
frame.srcdoc = new TextDecoder().decode(Uint8Array.from(atob("PAGE"), c => c.charCodeAt(0)));
</script>"""
    wrapper = folder / "wrapper.html"
    wrapper.write_text(script.replace("WIDTH", str(width)).replace("PAGE", base64.b64encode(page.encode()).decode()))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += ["--virtual-time-budget=20000", "--window-size=1400,1000", "--dump-dom", wrapper.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return json.loads(html.unescape(re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL).group(1)))
