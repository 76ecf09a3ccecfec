"""Who of a source is analysed, and who is left out in which step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from bundle.data.datalist import Item
from bundle.data.derivations import Derivable, Derivation
from bundle.data.file_patterns import Image
from bundle.data.findings import LEFT_OUT, LOOK, MEND, Finding
from bundle.data.image_choice import RULES, Choice
from bundle.data.layouts import ImageSource

INCOMPLETE = {"refuse": MEND, "leave_out": LEFT_OUT, "keep": LOOK}
"""What becomes of participants who lack a map -> the status of each that they lack."""


@dataclass
class Selection:
    """Participants are taken one by one; whoever is not is counted and told, in the order by name, no images, other sessions, incomplete.

    Args:
        sources: modality -> where it is.
        choices: participant -> files of one session.
        sessions: participant -> all that there are.
        wanted: session, or rule, that was asked for.
        space: of the images.
        derivable: maps that are made of others.
        reasons: participant -> why they are left out.
        listed: who is in the tables; None if there are no tables.
        incomplete: a key of `INCOMPLETE`.

    Attributes:
        items: who is analysed.
        derivations: (participant, modality) -> what that map is made of.
        findings: on participants.
    """

    sources: Mapping[str, ImageSource]
    choices: Mapping[str, Choice]
    sessions: Mapping[str, Sequence[str]]
    wanted: str | None
    space: str
    derivable: Derivable
    reasons: Mapping[str, str]
    listed: Collection[str] | None
    incomplete: str
    items: list[Item] = field(default_factory=list)
    derivations: dict[tuple[str, str], Derivation] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    _left_out: Counter[str] = field(default_factory=Counter)
    _excluded: Counter[str] = field(default_factory=Counter)

    def take(self, name: str) -> None:
        """Add a participant to `items`, or say why not."""
        choice, elsewhere = self.choices.get(name), self._elsewhere(name)
        if name in self.reasons:
            self._excluded[self.reasons[name]] += 1
            self.findings.append(Finding(name, "", LEFT_OUT, f"excluded: {self.reasons[name]}"))
        elif choice is None and elsewhere:
            hint = "take another --session, or exclude the participant by name if this is as it should be"
            self._leave_out("elsewhere", Finding(name, "", LEFT_OUT, elsewhere, hint))
        elif choice is None:
            hint = "exclude the participant by name if this is as it should be"
            reason = "is in the tables, but none of the maps is on disk"
            self._leave_out("without", Finding(name, "", LEFT_OUT, reason, hint))
        else:
            self._take_files(name, choice, elsewhere)

    def flow(self, n_people: int) -> list[tuple[str, int, str]]:
        """Step, participants who are left after it, and why others are not."""
        flow = [("in the tables or with images" if self.listed else "with images", n_people, "")]

        def leave(step: str, count: int, why: str) -> None:
            if count:
                flow.append((step, flow[-1][1] - count, why))

        why = ", ".join(f"{reason} ({count})" for reason, count in self._excluded.most_common())
        leave("not excluded by name", self._excluded.total(), why)
        leave("with images", self._left_out["without"], "none of the maps is on disk")
        leave(f"with session {self.wanted}", self._left_out["elsewhere"], "they have other sessions")
        leave("with every map", self._left_out["incomplete"], "a map is missing")
        return [*flow, ("analysed", len(self.items), "")]

    def _elsewhere(self, name: str) -> str:
        """That a participant has other sessions than the one that was asked for; empty otherwise."""
        own = self.sessions.get(name, [])
        is_elsewhere = bool(own) and self.wanted not in (None, *RULES, *own)
        return f"there is no session {self.wanted}, only {', '.join(own)}" if is_elsewhere else ""

    def _leave_out(self, step: str, finding: Finding) -> None:
        self._left_out[step] += 1
        self.findings.append(finding)

    def _take_files(self, name: str, choice: Choice, elsewhere: str) -> None:
        if self.listed is not None and name not in self.listed:
            first = str(next(iter(choice.files.values())))
            hint = "add the row, exclude the participant, or move the files away"
            self.findings.append(Finding(name, "", MEND, "has images, but no row in the tables", hint, first))
        absent = [modality for modality in self.sources if modality not in choice.files]
        for modality in absent:
            parts = (f"no {modality}", elsewhere, self.derivable.lacking.get((name, modality)))
            hint = _how_to_get(modality, self.sources[modality], self.incomplete)
            self.findings.append(Finding(name, modality, INCOMPLETE[self.incomplete], "; ".join(filter(None, parts)), hint))  # fmt: skip
        if absent and self.incomplete == "leave_out":
            self._left_out["incomplete"] += 1
            return
        item: Item = {"participant_id": name, "space": self.space}
        if choice.session:
            item["session"] = choice.session
        image = Image(name, choice.session, self.space)
        made = {m: self.derivable.of(m, image, file) for m, file in choice.files.items()}
        self.derivations |= {(name, m): derivation for m, derivation in made.items() if derivation is not None}
        own = [m for m in self.sources if m in choice.files and made[m] is None]
        self.items.append(item | {m: str(choice.files[m]) for m in own})


def _how_to_get(modality: str, source: ImageSource, incomplete: str) -> str:
    if incomplete != "refuse":
        return source.hint
    ways = f"add it, leave {modality} out of --modalities, or --incomplete leave_out"
    return f"{source.hint}; or {ways}" if source.hint else ways
