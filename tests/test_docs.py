import re
import shlex

import pytest

from bundle.command_line import check_command_line
from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text()) + re.findall(r"src=\"([^\"]+)\"", page.read_text())
    missing = [t for t in targets if not t.startswith("http") and not (page.parent / t).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_options_that_pages_name_exist(page):
    text = page.read_text()
    files = re.findall(r"`((?:bundle|configs|custom_nets|benchmarks|tests|docs)/[\w/.]+\.\w+)", text)
    assert [file for file in files if not (ROOT / file).exists()] == []
    known = "".join(file.read_text() for file in (ROOT / "configs").glob("*.yaml"))
    known += "".join(file.read_text() for file in (ROOT / "benchmarks").glob("*.py"))
    options = set(re.findall(r"--(\w+)", text)) - {"config_file", "no", "check", "meta_file", "filepath"}
    assert [name for name in options if not re.search(rf"\b{name}\b", known)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_figure_was_left_to_be_filled_in(page):
    assert "@@" not in page.read_text().replace("`%` or `@::`", "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_pages_show_are_taken(page):
    blocks = "".join(re.findall(r"```bash\n(.*?)```", page.read_text(), flags=re.DOTALL)).replace("\\\n", " ")
    for command in re.findall(r"python -m monai.bundle (run .*)", blocks):
        check_command_line(shlex.split(command, comments=True))
