"""Files whose paths follow a pattern, with what the pattern's placeholders stand for in each."""

from __future__ import annotations

import glob
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

GZ = ".[gG][zZ]"
ANY_ID = "[^/.][^/]*?"
FETCH = "fetch that file (datalad get, git annex get), or copy it here"
"""How to fix a dead link."""


class Image(NamedTuple):
    """Which image a file is; `session` and `space` are empty where the pattern does not say."""

    participant_id: str
    session: str
    space: str


def find_files(
    folder: Path,
    pattern: str,
    fixed: Mapping[str, str],
    spaces: Sequence[str] = (),
    without: Sequence[str] = (),
    ids: str = ANY_ID,
    loosely: bool = False,
) -> dict[Image, list[Path]]:
    """All files that a pattern matches, by the image that they are.

    Args:
        folder: relative patterns start here.
        pattern: `{participant_id}`, `{session}` and `{space}` stand for a part of a name, the same wherever they
            stand; `*` and `?` for other parts, `**` for folders; names in `fixed` in braces for its values.
        fixed: such as `derivatives` -> a folder.
        spaces: what `{space}` may be; nothing means any word.
        without: patterns of file names that are not meant.
        ids: regular expression of participant ids.
        loosely: whether upper and lower case are one from the part of a path on that holds the first placeholder, and `.nii`
            may stand for `.nii.gz` where that is not there.
    """
    exact, loose = _halves(pattern) if loosely else (pattern, "")
    pattern = exact + _in_any_case(loose)
    for name, value in fixed.items():
        pattern = pattern.replace("{" + name + "}", glob.escape(value))
    start = "/" if pattern.startswith("/") else f"{folder}/"
    whole = re.escape(start) + _expression(pattern.removeprefix("/"), spaces, ids)
    if loosely and whole.endswith(re.escape(".") + GZ.removeprefix(".")):
        whole = whole.removesuffix(re.escape(".") + GZ.removeprefix(".")) + r"(?:\.gz)?"
    form = re.compile(whole, re.IGNORECASE if loosely else 0)
    found: dict[Image, list[Path]] = defaultdict(list)
    globbed = re.sub(r"(\{\w+\}\*?)+", "*", pattern)
    globbed = globbed.removesuffix(GZ) + "*" if loosely and globbed.endswith(GZ) else globbed
    for path in matching_files(folder, globbed, dead_links=True):
        match = form.fullmatch(str(path))
        if match is not None and not any(fnmatch(path.name, other) for other in without):
            known = match.groupdict()
            space = known.get("space") or ""
            space = next((own for own in spaces if own.casefold() == space.casefold()), space)
            found[Image(known["participant_id"], known.get("session") or "", space)].append(path)
    if loosely:
        found = {
            image: [p for p in paths if p.with_name(f"{p.name}.gz") not in paths] for image, paths in found.items()
        }
    return {image: sorted(paths) for image, paths in found.items()}


def matching_files(folder: Path, pattern: str, dead_links: bool = False) -> list[Path]:
    """Files that a pattern with `*` matches, in order; relative ones start at `folder`, hidden ones do not count.

    Args:
        folder: where relative patterns start.
        pattern: with `*`.
        dead_links: whether links to files that are not there count, which version control of data leaves for files not fetched.
    """
    start = Path("/") if pattern.startswith("/") else folder
    paths = [path for path in start.glob(pattern.removeprefix("/")) if not path.name.startswith(".")]
    return sorted(path for path in paths if path.is_file() or (dead_links and dead_link(path)))


def is_file(path: Path) -> bool:
    """Whether there is a file; a name too long for the disk names none."""
    try:
        return path.is_file()
    except OSError:
        return False


def dead_link(path: Path) -> str:
    """What a link to something that is not there leads to, in words; empty if the path is none."""
    return f"is a link to {path.readlink()}, which is not there" if path.is_symlink() and not path.exists() else ""


def _halves(pattern: str) -> tuple[str, str]:
    """The folders of a pattern before the part with the first placeholder of an image, and what follows."""
    parts = pattern.split("/")
    first = next(
        (number for number, part in enumerate(parts) if re.search(r"\{(participant_id|session|space)\}", part)), 0
    )
    return "".join(f"{part}/" for part in parts[:first]), "/".join(parts[first:])


def _in_any_case(pattern: str) -> str:
    """A pattern whose letters match in upper and lower case."""
    parts = re.split(r"(\{\w+\}|\[[^]]+\])", pattern)
    return "".join(
        part
        if part.startswith(("{", "["))
        else re.sub("[A-Za-z]", lambda letter: f"[{letter[0].lower()}{letter[0].upper()}]", part)
        for part in parts
    )


def _expression(pattern: str, spaces: Sequence[str], ids: str) -> str:
    """The regular expression of a pattern; a placeholder's second place repeats its first."""
    words = {"participant_id": ids, "session": r"[A-Za-z0-9]+", "space": "|".join(map(re.escape, spaces)) or r"[A-Za-z0-9]+"}  # fmt: skip
    text, seen = "", set()
    for part in re.split(r"(\{\w+\}|\*\*/|\*|\?|\[[^]]+\])", pattern):
        name = part[1:-1]
        if part.startswith("{") and name in words:
            text += f"(?P={name})" if name in seen else f"(?P<{name}>{words[name]})"
            seen.add(name)
        elif part.startswith("["):
            text += part
        else:
            text += {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part))
    return text


def in_order_of_number(labels: Sequence[str]) -> list[str]:
    """Labels sorted as participants count: 2 before 10."""
    return sorted(labels, key=lambda label: [int(w) if w.isdigit() else w for w in re.split(r"(\d+)", label)])
