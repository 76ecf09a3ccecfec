import ast
import importlib
import re
import runpy
import shlex
import shutil
import subprocess

import pytest
import yaml

from bundle.running.command_line import check_command_line
from tests.conftest import ROOT

RUNNABLE = re.compile(r"<!-- runnable -->\n```bash\n(.*?)```", re.DOTALL)
OF_OTHER_PROGRAMS = {"config_file", "meta_file", "filepath", "tracking", "no", "check", "dist", "backend"}
OURS = {"bundle", "custom_nets", "monai", "torch", "nibabel"}
"""Packages that every checkout has installed."""
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text()
    targets = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r"src=\"([^\"]+)\"", text)
    missing = []
    for target in targets:
        file, _, heading = target.partition("#")
        place = page.parent / file if file else page
        if not target.startswith("http") and not (place.exists() and (not heading or heading in anchors(place))):
            missing.append(target)
    assert missing == []


def anchors(page):
    """What GitHub calls a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_options_that_pages_name_exist(page):
    text = page.read_text()
    files = re.findall(r"`((?:bundle|configs|custom_nets|benchmarks|tests|docs)/[\w/.]+\.\w+)", text)
    assert [file for file in files if not (ROOT / file).exists()] == []
    known = "".join(file.read_text() for file in (ROOT / "configs").glob("*.yaml"))
    known += "".join(file.read_text() for file in (ROOT / "benchmarks").glob("*.py"))
    options = set(re.findall(r"--(\w+)", text)) - OF_OTHER_PROGRAMS
    assert [name for name in options if not re.search(rf"\b{name}\b", known)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_figure_was_left_to_be_filled_in(page):
    assert "@@" not in page.read_text().replace("`%` or `@::`", "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_pages_show_are_taken(page):
    blocks = "".join(re.findall(r"```bash\n(.*?)```", page.read_text(), flags=re.DOTALL)).replace("\\\n", " ")
    for command in re.findall(r"python -m monai.bundle (run .*)", blocks):
        check_command_line(shlex.split(command, comments=True))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_that_pages_show_is_python_and_what_it_imports_is_there(page):
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS:
                module = importlib.import_module(node.module)
                assert all(hasattr(module, name.name) for name in node.names), node.module


def test_the_reference_of_options_is_what_the_configs_say():
    write_page = runpy.run_path(str(ROOT / "docs" / "make_options.py"))["write_page"]
    assert (ROOT / "docs" / "options.md").read_text() == write_page(), "run python docs/make_options.py"


def test_the_citation_is_of_the_version_that_metadata_names():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == yaml.safe_load((ROOT / "configs" / "metadata.json").read_text())["version"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if RUNNABLE.search(page.read_text())], ids=lambda page: page.name
)
def test_blocks_marked_as_runnable_run_one_after_the_other(page, tmp_path):
    for name in subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.splitlines():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    script = "set -euo pipefail\nexport PYTHONPATH=$PWD\n" + "".join(RUNNABLE.findall(page.read_text()))
    run = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
