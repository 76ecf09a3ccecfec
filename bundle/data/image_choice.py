"""Which of a participant's files are taken: first pattern, one session, one template space."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bundle.data.file_patterns import Image, find_files, in_order_of_number
from bundle.data.findings import MEND, Finding
from bundle.data.layouts import ImageSource
from bundle.data.session_order import in_order

RULES = ("first", "last")
Files = dict[str, dict[Image, Path]]
"""Modality -> image -> file."""


@dataclass(frozen=True)
class Choice:
    """One participant's files.

    Attributes:
        session: the one taken; empty if the source has none.
        files: modality -> file; a modality that is not there is missing.
    """

    session: str
    files: Mapping[str, Path]


def existing_files(
    sources: Mapping[str, ImageSource], folder: Path, fixed: Mapping[str, str], spaces: Sequence[str], ids: str
) -> tuple[Files, list[Finding]]:
    """Files of every map in every session and space, each from the first pattern that has one.

    Args:
        sources: modality -> where it is.
        folder: relative patterns start here.
        fixed: values of other placeholders.
        spaces: what `{space}` may be; images of a pattern without it are in the first.
        ids: regular expression of participant ids.

    Returns:
        The files, and a finding for each pattern that matches several files of one image.
    """
    files: Files = {}
    findings: list[Finding] = []
    for modality, source in sources.items():
        files[modality], several = first_existing(modality, source, folder, fixed, spaces, ids, spaces[0])
        findings += several
    everybody = {image.participant_id for images in files.values() for image in images}
    return files, findings + add_in_other_letters(files, everybody, sources, folder, fixed, spaces, ids)


def add_in_other_letters(
    files: Files,
    everybody: Collection[str],
    sources: Mapping[str, ImageSource],
    folder: Path,
    fixed: Mapping[str, str],
    spaces: Sequence[str],
    ids: str,
) -> list[Finding]:
    """Add files that differ from a pattern in upper and lower case or compression, where a participant of `everybody` lacks a map.

    Returns:
        A finding for each pattern that matches several such files of one image.
    """
    findings = []
    for modality, source in sources.items():
        if source.files and set(everybody) - {image.participant_id for image in files[modality]}:
            more, several = _existing(modality, source, folder, fixed, spaces, ids, spaces[0], loosely=True)
            new = {image: path for image, path in more.items() if image not in files[modality]}
            files[modality] |= new
            findings += [finding for finding in several if finding.file in set(map(str, new.values()))]
    return findings


def first_existing(
    modality: str,
    source: ImageSource,
    folder: Path,
    fixed: Mapping[str, str],
    spaces: Sequence[str],
    ids: str,
    space: str,
) -> tuple[dict[Image, Path], list[Finding]]:
    """As `existing_files`, of one map; images of a pattern without `{space}` are in `space`.

    Where no file is called so, upper and lower case are one, and `.nii` stands for `.nii.gz`.
    """
    files, findings = _existing(modality, source, folder, fixed, spaces, ids, space, loosely=False)
    if not files and source.files:
        return _existing(modality, source, folder, fixed, spaces, ids, space, loosely=True)
    return files, findings


def _existing(
    modality: str,
    source: ImageSource,
    folder: Path,
    fixed: Mapping[str, str],
    spaces: Sequence[str],
    ids: str,
    space: str,
    loosely: bool,
) -> tuple[dict[Image, Path], list[Finding]]:
    files: dict[Image, Path] = {}
    findings = []
    for pattern in source.files:
        for image, paths in find_files(folder, pattern, fixed, spaces, source.without, ids, loosely).items():
            image = image._replace(space=image.space or space)
            if image in files:
                continue
            if len(paths) > 1:
                names = " and ".join(path.name for path in paths[:3])
                findings.append(
                    Finding(image.participant_id, modality, MEND, f"{len(paths)} files match {pattern}: {names}",
                            "say which are not meant by `without` beside `files`, or move the others away", str(paths[0]))
                )  # fmt: skip
            files[image] = paths[0]
    return files, findings


def check_spaces(files: Files, wanted: str | None) -> list[Finding]:
    """A finding if files are in more than one template space and none was asked for."""
    counts = {m: Counter(image.space for image in images) for m, images in files.items()}
    spaces = sorted(set().union(*counts.values()))
    if wanted is not None and wanted not in spaces:
        return [Finding("", "", MEND, f"no image is in the space {wanted}, some are in {', '.join(spaces) or 'none'}", "choose another --space")]  # fmt: skip
    if wanted is not None or len(spaces) < 2:
        return []
    told = "; ".join(f"{m}: " + ", ".join(f"{n} in {s}" for s, n in sorted(c.items())) for m, c in counts.items() if c)
    return [
        Finding("", "", MEND, f"images are in {len(spaces)} template spaces, which differ in shape ({told})",
                f"choose one by --space {spaces[0]}; maps that are only in the other must be made again in it, a change of grid "
                "does not do")
    ]  # fmt: skip


def choose(
    files: Files, names: Sequence[str], rule: str | None, space: str | None
) -> tuple[dict[str, Choice], list[Finding]]:
    """Each participant's files of one session.

    Sessions that have the most of a participant's maps are candidates; `first` and `last` are by `session_order`. Images without a
    session go with any.

    Args:
        files: of every map.
        names: participants.
        rule: `first`, `last`, a session's label, or None: refuse where there are several.
        space: the template space; None takes any.

    Returns:
        Participants with at least one file, and a finding for each who has several sessions if there is no rule.
    """
    of: dict[str, dict[str, dict[str, Path]]] = defaultdict(lambda: defaultdict(dict))
    for modality, images in files.items():
        for image, path in images.items():
            if space is None or image.space == space:
                of[image.participant_id][image.session].setdefault(modality, path)
    choices, findings = {}, []
    for name in names:
        own = of.get(name)
        if own is None:
            continue
        always = own.get("", {})
        labels = in_order_of_number([label for label in own if label])
        most = max((len(own[label]) for label in labels), default=0)
        best = [label for label in labels if len(own[label]) == most]
        session = ""
        if rule is not None and rule not in RULES:
            session = rule if rule in labels else ""
        elif labels:
            ordered = in_order(best)
            if ordered is None and rule is not None:
                findings.append(
                    Finding(name, "", MEND, f"has sessions {', '.join(best)}, whose names do not tell which is {rule}",
                            f"choose by --session {best[0]}")
                )  # fmt: skip
            session = (ordered or best)[-1 if rule == "last" else 0]
        if len(labels) > 1 and rule is None:
            findings.append(
                Finding(name, "", MEND, f"has {len(labels)} sessions ({', '.join(labels)})",
                        f"choose by --session first, --session last or --session {labels[0]}")
            )  # fmt: skip
        taken = {**always, **own.get(session, {})}
        if taken:
            choices[name] = Choice(session, taken)
    return choices, findings
