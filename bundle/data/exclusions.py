"""Who is left out by name, and why."""

from __future__ import annotations

import re
from pathlib import Path

from bundle.data.problems import InputProblems


def read_exclusions(file: str | Path | None, prefix: str = "") -> dict[str, str]:
    """Participant id -> reason.

    Args:
        file: a line per person: the id, then, after a tab, comma or blank, the reason. A first line `participant_id ...`
            and lines from `#` on are skipped. None excludes nobody.
        prefix: put before ids that do not have it.

    Raises:
        InputProblems: if the file is not there or names somebody twice.
    """
    if file is None:
        return {}
    path = Path(file).expanduser()
    if not path.is_file():
        raise InputProblems(
            "Exclusions", [f"No {path}: --exclude takes a text file with a participant_id in each line."]
        )
    reasons: dict[str, str] = {}
    problems = []
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        parts = re.split(r"[\t, ]+", line.split("#")[0].strip(), maxsplit=1)
        if parts[0] in ("", "participant_id"):
            continue
        name = parts[0] if parts[0].startswith(prefix) else prefix + parts[0]
        if name in reasons:
            problems.append(f"{path}: {name} stands twice: keep one line.")
        reasons[name] = parts[1].strip() if len(parts) > 1 else f"named in {path.name}"
    if problems:
        raise InputProblems("Exclusions", problems)
    return reasons
