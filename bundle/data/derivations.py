"""Maps that no file holds, and the files that they can be made of: a warp, and what goes with it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bundle.data.file_patterns import Image
from bundle.data.findings import Finding
from bundle.data.image_choice import Files, first_existing
from bundle.data.layouts import DerivationSource, ImageSource


@dataclass(frozen=True)
class Derivation:
    """What one participant's map is made of; see `DerivationSource`.

    Attributes:
        warp, native, like: files.
        image: the native map; None makes the warp's Jacobian determinants.
        words: how the layout calls the file, for participants; it holds no id.
    """

    warp: Path
    native: Path
    like: Path
    image: Path | None
    words: str

    @property
    def main(self) -> Path:
        """The file that stands for the map until it is made."""
        return self.image or self.warp

    @property
    def files(self) -> list[Path]:
        """All that it is made of."""
        return [path for path in (self.warp, self.native, self.like, self.image) if path is not None]


@dataclass
class Derivable:
    """What can be derived, and why other things cannot.

    Attributes:
        maps: modality -> image -> what it is made of.
        lacking: (participant, modality) -> what is not there, of those who have a part of it.
        findings: several files that match a pattern, of those that would be used.
    """

    maps: dict[str, dict[Image, Derivation]] = field(default_factory=lambda: defaultdict(dict))
    lacking: dict[tuple[str, str], str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def of(self, modality: str, image: Image, file: Path) -> Derivation | None:
        """What a map is made of; None if the file that was chosen for it is its own."""
        options = [self.maps[modality].get(own) for own in (image, image._replace(session=""))]
        return next((own for own in options if own is not None and own.main == file), None)


def find_derivable(
    sources: Mapping[str, ImageSource],
    files: Files,
    folder: Path,
    fixed: Mapping[str, str],
    spaces: Sequence[str],
    ids: str,
) -> Derivable:
    """Maps that are not among `files` and can be made.

    Args:
        sources: modality -> where it is, and what it is made of otherwise.
        files: what there is.
        folder, fixed, spaces, ids: see `existing_files`.
    """
    found = Derivable()
    for modality, source in sources.items():
        for way in source.derive:
            there, several = {}, []
            for part, patterns in way.patterns.items():
                without = (*source.without, *way.without) if part in ("image", "native") else ()
                own = ImageSource(files=patterns, without=without)
                there[part], findings = first_existing(modality, own, folder, fixed, spaces, ids, "")
                several += findings
            before = set(found.maps[modality])
            _add(found, modality, way, there, files[modality], spaces[0])
            used = {str(f) for image, own in found.maps[modality].items() if image not in before for f in own.files}
            found.findings += [finding for finding in several if finding.file in used]
    return found


def _add(
    found: Derivable,
    modality: str,
    way: DerivationSource,
    there: Mapping[str, Mapping[Image, Path]],
    files: Mapping[Image, Path],
    only_space: str,
) -> None:
    """Every session and space of every participant who has a part of what it takes."""
    main = "image" if way.image else "warp"
    of: dict[str, list[Image]] = defaultdict(list)
    for image in [*there["warp"], *there[main]]:
        of[image.participant_id].append(image)
    for name, images in of.items():
        for space in sorted({image.space for image in there["warp"] if image.participant_id == name} or {""}):
            for session in sorted({image.session for image in images}):
                target = Image(name, session, space or only_space)
                without_session = target._replace(session="")
                if {target, without_session} & (files.keys() | found.maps[modality].keys()):
                    continue
                own = {part: path for part, paths in there.items() for path in _nearest(paths, target)}
                absent = [f"{part} ({way.patterns[part][0]})" for part in there if part not in own]
                if absent:
                    found.lacking[name, modality] = f"it could be derived, but there is no {' and no '.join(absent)}"
                    continue
                found.maps[modality][target] = Derivation(
                    own["warp"], own["native"], own["like"], own.get("image"), _words(way, main, own)
                )


def _nearest(paths: Mapping[Image, Path], image: Image) -> list[Path]:
    """The file of this session and space, or one that goes with any session or space, or none."""
    options = [image._replace(session=session, space=space) for session in (image.session, "") for space in (image.space, "")]  # fmt: skip
    return [paths[image] for image in options if image in paths][:1]


def _words(way: DerivationSource, main: str, files: Mapping[str, Path]) -> str:
    """What the layout calls the files that were found."""
    warp = pattern_of(files["warp"], way.patterns["warp"])
    return warp if main == "warp" else f"{pattern_of(files['image'], way.patterns['image'])} by {warp}"


def pattern_of(file: Path, patterns: Sequence[str]) -> str:
    """Name of the pattern that a file is found by; of the first, if several would find it."""
    for pattern in patterns:
        shape = re.sub(r"\{\w+\}|\*+", "*", pattern)
        if file.match(shape) or file.match(shape.replace("*/", "", 1)):
            return pattern.rsplit("/", 1)[-1]
    return patterns[0].rsplit("/", 1)[-1]
