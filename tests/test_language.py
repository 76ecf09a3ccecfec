"""Pages and configs speak the field's language: words of an earlier dialect do not come back."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GONE = {
    "skill": "R²",
    "knob": "option",
    "everybody": "all participants",
    "somebody": "a participant",
    "whoever": "participants who",
    "mend": "fix",
    "taken out": "regressed out",
    "told from": "predicted from",
    "oddest": "most unusual",
}
"""Word -> what to write."""
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "configs").rglob("*.yaml"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_word_of_the_earlier_dialect(page):
    text = page.read_text()
    found = [word for word in GONE if re.search(rf"\b{word}(s|ed)?\b", text, re.IGNORECASE)]
    assert found == []
