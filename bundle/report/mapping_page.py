"""The page of mapping: what to look at before maps are believed."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle.report.template import render_template

PICTURES = {
    "brain": ("T1w and brain mask", "the red line should run along the brain's surface"),
    "template": (
        "T1w in the template, and the template's edges",
        "yellow should follow white matter, red the brain's surface",
    ),
    "fa": ("FA over T1w", "orange tracts should lie in bright white matter"),
    "ndi": ("NDI", "brightest in white matter, dark in the ventricles"),
    "jac": (
        "JAC",
        "blue where the participant is smaller than the template, red where larger; full colour at a factor of 2",
    ),
}
"""Name of a picture -> what it shows, and what to look for."""


@dataclass(frozen=True)
class MappedPerson:
    """One participant on the page.

    Attributes:
        participant_id: whose.
        folder: with pictures.
        pictures: their names.
        figures: (label, value).
        worries: sentences about what is worth a look; none if all is well.
        notes: other sentences.
        failure: why there are no maps, or empty.
    """

    participant_id: str
    folder: Path
    pictures: Sequence[str]
    figures: Sequence[tuple[str, str]]
    worries: Sequence[str]
    notes: Sequence[str]
    failure: str = ""

    @property
    def status(self) -> str:
        """`mend`, `look` or `ok`."""
        return "mend" if self.failure else "look" if self.worries else "ok"


def render_mapping(people: Sequence[MappedPerson], settings: Mapping[str, Any]) -> str:
    """The page; participants with failures first, then those with worries.

    Args:
        people: all participants.
        settings: name -> value, shown at the end.
    """
    order = {"mend": 0, "look": 1, "ok": 2}
    return render_template(
        "mapping.html",
        headline=_headline(people),
        people=[(person, _cards(person)) for person in sorted(people, key=lambda person: order[person.status])],
        settings=settings,
    )


def _headline(people: Sequence[MappedPerson]) -> str:
    counts = {status: sum(person.status == status for person in people) for status in ("ok", "look", "mend")}
    parts = [f"{counts['ok'] + counts['look']} of {len(people)} mapped"]
    if counts["look"]:
        parts.append(f"{counts['look']} worth a look")
    if counts["mend"]:
        parts.append(f"{counts['mend']} failed")
    return "; ".join(parts) + "."


def _cards(person: MappedPerson) -> list[tuple[str, str, str]]:
    """(title, hint, picture as a data address)."""
    cards = []
    for name in person.pictures:
        file = person.folder / f"{name}.jpg"
        if file.is_file():
            cards.append((*PICTURES[name], "data:image/jpeg;base64," + base64.b64encode(file.read_bytes()).decode()))
    return cards
