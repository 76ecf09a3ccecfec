import html
import json
import re
import shutil
from functools import partial

import monai.bundle
import pytest
import torch

from bundle.data.problems import InputProblems
from bundle.data.tables import read_table, write_table
from bundle.stages.report import report
from tests.conftest import root_cause
from tests.stages.mock_results import ENCODER, write_clusters, write_cross_validation, write_phenotypes, write_results


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
    headline = "60 participants fall into 3 strata (p = 0.010)"
    assert text.startswith(f" brainstrata report {headline}") and "2 of 4 phenotype factors differ" in text
    anchors = re.findall(r'<section id="([^"]+)"', page)
    assert anchors == re.findall(r'href="#([^"]+)"', page) and len(set(anchors)) == len(anchors)
    assert {"people", "training", "reconstructions", "embedding", "strata", "factors", "profile"} < set(anchors)
    assert {"continuum", "contributions", "limits", "methods", "files"} < set(anchors)


def test_no_strata_is_said_first_and_the_continuum_takes_the_profiles_place(without_strata):
    _, page = without_strata
    text = text_of(page)
    assert text.startswith(" brainstrata report No discrete strata were found. This is a normal result")
    assert "Embeddings predict 3 of 4 phenotype factors" in text
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
    assert "Once covariates are regressed out, no strata are left" in text and "three ways" in text
    assert ("Before covariates were regressed out, the embeddings of 60 participants had 3 strata" in text) == (
        n_clusters == 3
    )


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
    assert f"not been run. The command is python -m monai.bundle run {command} --output_dir OUTPUT_DIR" in text
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
    assert "60 participants in 30 families were each drawn by a network that was trained without them" in text
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
        "60 participants in 30 families on a grid of 64 x 64 x 48 voxels",
        "40 for training, 10 for validation, 10 for testing",
        "trained for 5 epochs; the weights of epoch 5",
        "age_years and sex were regressed out of the embeddings",
        "Parallel analysis kept 7 principal axes, with 66 % of the variance",
        "the clusterings that left out one of 10 folds of families",
        "repeated on 99 cohorts that are one Gaussian cloud",
        "20 phenotype items, rank-normalised, of 50 participants in 25 families were standardised",
        "9,999 permutations (whole families of one size and the same zygosity)",
        "1,000 bootstrap samples of families",
        f"Encoder {ENCODER}",
        "Seed of clustering 4",
        "Seed of phenotypes 7",
        "scipy 1.17.1",
        "SHA-256 of 4_embeddings/embeddings.npz",
    ):
        assert words in text
    assert not re.search(r"\b(None|nan)\b", text)


def test_methods_tell_what_training_stored(trained, tmp_path):
    folder = tmp_path / "results"
    shutil.copytree(trained, folder)
    text = text_of(page_of(folder))
    assert "RefinedLinearAutoencoder: embedding size 384; block 8" in text and "batch size 4" in text
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
    file = folder / "6_phenotypes" / "tests.tsv"
    write_table(read_table(file, str).drop(columns="epsilon_squared").assign(q="small"), file)
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


def test_a_network_trained_anew_is_not_reported_beside_what_the_old_one_made(tmp_path):
    folder = write_results(tmp_path / "results")
    (folder / "2_training").mkdir(exist_ok=True)
    torch.save({"weights": torch.ones(2)}, folder / "2_training" / "model.pt")
    text = refused(folder)
    for stage, run in (("4_embeddings", "embedding"), ("5_clusters", "clustering")):
        assert f"{stage} is of encoder aaaaaaaaaaaa, " in text and f"Run {run} again" in text
    (folder / "3_evaluation").mkdir(exist_ok=True)
    (folder / "3_evaluation" / "evaluation.json").write_text('{"encoder_hash": "cccccccccccc"}')
    assert "3_evaluation is of encoder cccccccccccc, 2_training of" in refused(folder)


def test_broken_input_is_reported_through_the_bundle_too(tmp_path):
    with pytest.raises(InputProblems, match="Nothing to report"):
        try:
            monai.bundle.run(run_id="reporting", config_file="configs/report.yaml", output_dir=str(tmp_path))
        except RuntimeError as error:
            raise root_cause(error) from None
