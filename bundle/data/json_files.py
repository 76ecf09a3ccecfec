"""Facts that stages leave for each other as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bundle.data.atomic import write_text
from bundle.data.problems import InputProblems


def write_json(content: Any, file: str | Path) -> None:
    """Write plain values, whole or not at all; the folder is made."""
    write_text(json.dumps(content, indent=1), file)


def read_json(file: Path) -> dict[str, Any]:
    """What a stage wrote as JSON.

    Raises:
        InputProblems: if it is broken.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputProblems("Results folder", [f"{file} is broken ({error}): delete it, it is made again."]) from error
    if not isinstance(content, dict):
        raise InputProblems(
            "Results folder", [f"{file} is broken (a {type(content).__name__}): delete it, it is made again."]
        )
    return content
