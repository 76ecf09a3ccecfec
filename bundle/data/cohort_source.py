"""A source of images as it lies on disk, by a layout, a cohort folder or a datalist: who has what, and what is wrong."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bundle.data.cohort_selection import INCOMPLETE, Selection
from bundle.data.datalist import Item, items_from_datalist
from bundle.data.derivations import Derivable, Derivation, find_derivable
from bundle.data.exclusions import looks_otherwise, read_exclusions
from bundle.data.file_patterns import Image, in_order_of_number, is_file
from bundle.data.findings import LEFT_OUT, LOOK, MEND, Finding
from bundle.data.image_choice import RULES, Choice, Files, add_in_other_letters, check_spaces, choose, existing_files
from bundle.data.layouts import OUR_COLUMNS, ColumnSource, ImageSource, JacobianKind, Layout, TableSource, read_layout
from bundle.data.nothing_found import nothing_found
from bundle.data.participants import check_ids
from bundle.data.people_findings import people_findings
from bundle.data.problems import InputProblems
from bundle.data.source_tables import SourceTables, read_source_tables
from bundle.data.tables import read_strictly
from bundle.paths import PARTICIPANTS


@dataclass(frozen=True)
class FoundCohort:
    """What was found.

    Attributes:
        items: participants who are analysed, with session, space and a path per map that has a file; without families.
        findings: what is wrong or left out.
        flow: (step, participants, why fewer than before).
        tables: of the source.
        jacobians: modality -> what its Jacobians are.
        masks, matrices: (participant, modality) -> file.
        derivations: (participant, modality) -> what the map is made of, where it has no file.
    """

    items: list[Item]
    findings: list[Finding]
    flow: list[tuple[str, int, str]]
    tables: SourceTables
    jacobians: Mapping[str, JacobianKind] = field(default_factory=dict)
    masks: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    matrices: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    derivations: Mapping[tuple[str, str], Derivation] = field(default_factory=dict)


class CohortSource:
    """A source, and who and what of it is wanted. Nothing is read before `find`.

    Args:
        dataset_dir: folder of images, or a MONAI datalist JSON if there is no layout.
        layout: content of a layout's YAML; None takes `images` and `participants.tsv` of the folder.
        images: modality -> file pattern with `{participant_id}`, without a layout.
        tables_dir: folder of tables; None is `dataset_dir`.
        derivatives: folder that `{derivatives}` in patterns stands for; None is `<dataset_dir>/derivatives`.
        session: `first`, `last`, a label, or None: refuse where a participant has several.
        space: template space to take; None refuses where there are several.
        exclude: file of ids and reasons.
        incomplete: participants who lack a map: `refuse`, `leave_out`, or `keep` them with the maps that they have.

    Raises:
        InputProblems: for settings or a layout that cannot be.
    """

    def __init__(
        self,
        dataset_dir: str | None,
        layout: Mapping[str, Any] | None = None,
        images: Mapping[str, str] | None = None,
        tables_dir: str | None = None,
        derivatives: str | None = None,
        session: str | int | None = None,
        space: str | None = None,
        exclude: str | None = None,
        incomplete: str = "refuse",
    ) -> None:
        if dataset_dir is None:
            raise InputProblems("Cohort", ["Give --dataset_dir, the folder of the source."])
        self.folder = Path(dataset_dir).expanduser().resolve()
        problems = [] if self.folder.exists() else [f"--dataset_dir {self.folder} does not exist."]
        if incomplete not in INCOMPLETE:
            problems.append(f"--incomplete must be one of {', '.join(INCOMPLETE)}, got {incomplete!r}.")
        if layout is not None and self.folder.is_file():
            problems.append(f"{self.folder} is a file: with a layout, --dataset_dir is a folder.")
        if problems:
            raise InputProblems("Cohort", problems)
        self.layout = _of_folder(self.folder, images or {}) if layout is None else read_layout(layout)
        self.tables_dir = Path(tables_dir).expanduser().resolve() if tables_dir else self.folder
        self.derivatives = Path(derivatives).expanduser().resolve() if derivatives else self.folder / "derivatives"
        self.session = None if session is None else str(session)
        self.space = space
        self.exclude = exclude
        self.incomplete = incomplete

    def find(self, modalities: Sequence[str]) -> FoundCohort:
        """Look at names and tables; no image is opened.

        Raises:
            InputProblems: for unknown modalities, broken tables, or a datalist with problems.
        """
        if self.folder.is_file():
            return self._of_datalist(modalities)
        unknown = [m for m in modalities if m not in self.layout.images]
        if unknown:
            known = ", ".join(self.layout.images)
            raise InputProblems("Modalities", [f"Unknown modality {m!r}: {self.layout.name} has {known}." for m in unknown])  # fmt: skip
        sources = {m: self.layout.images[m] for m in modalities}
        files, findings = existing_files(sources, self.folder, self._fixed, self.layout.space, self.layout.ids)
        named = sorted({image.participant_id for images in files.values() for image in images})
        tables = read_source_tables(self.layout, self.tables_dir, named)
        findings += self._named_files(sources, tables, files)
        if set(tables.values.index) - set(named):
            everybody, where = tables.values.index, (self.folder, self._fixed, self.layout.space, self.layout.ids)
            findings += add_in_other_letters(files, everybody, sources, *where)
        derivable = find_derivable(sources, files, self.folder, self._fixed, self.layout.space, self.layout.ids)
        for modality, maps in derivable.maps.items():
            files[modality] |= {image: derivation.main for image, derivation in maps.items()}
        findings += derivable.findings
        folders = list(dict.fromkeys([self.folder, *([self.derivatives] if self.derivatives.is_dir() else [])]))
        nothing = nothing_found(sources, files, folders, self._fixed)
        findings += [Finding("", "", LOOK, note.rstrip(".")) for note in tables.notes]
        findings += check_spaces(files, self.space)
        listed = list(tables.values.index)
        on_disk = sorted({image.participant_id for images in files.values() for image in images})
        names = [*listed, *sorted(set(on_disk) - set(listed))]
        findings += [Finding("", "", MEND, sentence) for sentence in check_ids(names, str(self.tables_dir))]
        choices, several = choose(files, names, self.session, self.space)
        sessions = _sessions(files)
        findings += self._unknown_session(sessions)
        spaces = {image.space for images in files.values() for image in images}
        space = self.space or (spaces.pop() if len(spaces) == 1 else self.layout.space[0])
        return self._select(
            sources, tables, names, choices, sessions, space, derivable, [*findings, *nothing, *several]
        )

    def _unknown_session(self, sessions: Mapping[str, Sequence[str]]) -> list[Finding]:
        """A finding if no participant has the session that was asked for."""
        known = in_order_of_number(sorted(set().union(*sessions.values())))
        if self.session is None or self.session in (*RULES, *known):
            return []
        told = f"their sessions are {', '.join(known)}" if known else "their files name no sessions"
        return [
            Finding("", "", MEND, f"no participant has the session {self.session}: {told}", "choose another --session")
        ]

    @property
    def _fixed(self) -> dict[str, str]:
        """What placeholders other than those of an image stand for."""
        return {"derivatives": str(self.derivatives)}

    def _named_files(self, sources: Mapping[str, ImageSource], tables: SourceTables, files: Files) -> list[Finding]:
        """Add files that columns of tables name; a finding for each that is not there."""
        findings = []
        for modality, source in sources.items():
            if not source.column:
                continue
            if source.column not in tables.values:
                columns = ", ".join(map(str, tables.values.columns[:8]))
                findings.append(Finding("", modality, MEND, f"no column {source.column!r} in the table, it has {columns}", "correct the layout or the table"))  # fmt: skip
                continue
            for name, word in tables.values[source.column].dropna().items():
                path = self.folder / str(word)
                if is_file(path):
                    files[modality][Image(str(name), "", self.layout.space[0])] = path
                else:
                    findings.append(Finding(str(name), modality, MEND, "the file that the table names is not there", "correct the path, or leave it empty", str(path)))  # fmt: skip
        return findings

    def _select(
        self,
        sources: Mapping[str, ImageSource],
        tables: SourceTables,
        names: Sequence[str],
        choices: Mapping[str, Choice],
        sessions: Mapping[str, Sequence[str]],
        space: str,
        derivable: Derivable,
        findings: list[Finding],
    ) -> FoundCohort:
        """Who is analysed, with what goes with their images."""
        reasons = read_exclusions(self.exclude, names, self.layout.prefix)
        listed = set(tables.values.index) if self.layout.tables else None
        chosen = Selection(sources, choices, sessions, self.session, space, derivable, reasons, listed, self.incomplete)
        for name in names:
            chosen.take(name)
        items, derivations = chosen.items, chosen.derivations
        findings = [*(finding for finding in findings if finding.participant_id not in reasons), *chosen.findings]
        findings += [*_strangers(reasons, names), *people_findings(items, tables, self.layout)]
        if not items and not any(finding.status == MEND for finding in findings):
            findings.append(Finding("", "", MEND, f"none is left of {len(names)} participants in {self.folder}", "see why above, and correct the folder or the options"))  # fmt: skip
        masks = self._companions(items, {m: source.mask for m, source in sources.items()})
        findings += [
            Finding(item["participant_id"], m, MEND, f"no brain mask: expected {source.mask[0]}", "add it, exclude the participant, or take mask out of the layout if its images have no skull")
            for m, source in sources.items() for item in items
            if source.mask and (m in item or (item["participant_id"], m) in derivations) and (item["participant_id"], m) not in masks
        ]  # fmt: skip
        return FoundCohort(
            items,
            findings,
            chosen.flow(len(names)),
            tables,
            {m: source.jacobian for m, source in sources.items() if source.jacobian is not None},
            masks,
            self._companions(items, {m: source.jacobian.matrix for m, source in sources.items() if source.jacobian}),
            derivations,
        )

    def _companions(self, items: Sequence[Item], patterns: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], Path]:
        """The file that goes with each image, of its session and space."""
        wanted = {m: ImageSource(files=tuple(words)) for m, words in patterns.items() if words}
        files, _ = existing_files(wanted, self.folder, self._fixed, self.layout.space, self.layout.ids)
        found = {}
        for item in items:
            for modality, images in files.items():
                own = [Image(item["participant_id"], s, item["space"]) for s in (item.get("session", ""), "")]
                path = next((images[image] for image in own if image in images), None)
                if path is not None:
                    found[item["participant_id"], modality] = path
        return found

    def _of_datalist(self, modalities: Sequence[str]) -> FoundCohort:
        idle = [f"--{name} {value}: a datalist names the files already; leave it out." for name, value in (("session", self.session), ("space", self.space)) if value]  # fmt: skip
        if idle:
            raise InputProblems("Cohort", idle)
        sections = items_from_datalist(self.folder, modalities, any_subset=self.incomplete != "refuse")
        everybody = [item for items in sections.values() for item in items]
        reasons = read_exclusions(self.exclude, [item["participant_id"] for item in everybody])
        items = [item for item in everybody if item["participant_id"] not in reasons]
        names = [item["participant_id"] for item in everybody]
        findings = [Finding(name, "", LEFT_OUT, f"excluded: {reasons[name]}") for name in names if name in reasons]
        findings += _strangers(reasons, names)
        flow = [("in the datalist", len(everybody), "")]
        if len(items) < len(everybody):
            flow.append(("not excluded by name", len(items), ""))
        status = LEFT_OUT if self.incomplete == "leave_out" else LOOK
        findings += [Finding(item["participant_id"], m, status, f"no {m}", "") for item in items for m in modalities if m not in item]  # fmt: skip
        if self.incomplete == "leave_out":
            items = [item for item in items if all(m in item for m in modalities)]
            flow.append(("with every map", len(items), "a map is missing"))
        flow.append(("analysed", len(items), ""))
        if not items:
            findings.append(Finding("", "", MEND, f"none is left of {len(everybody)} participants in {self.folder}", "correct the datalist or the options"))  # fmt: skip
        return FoundCohort(items, findings, flow, SourceTables(pd.DataFrame()))


def _strangers(reasons: Mapping[str, str], names: Collection[str]) -> list[Finding]:
    """A finding for each who is to be excluded but is not there: an id may be misspelt, and its participant analysed."""
    strangers = sorted(set(reasons) - set(names))
    findings = [Finding(name, "", LOOK, "is to be excluded, but no participant has this id") for name in strangers]
    if reasons and len(strangers) == len(reasons) and looks_otherwise(strangers, names):
        told = f"no participant on the list of exclusions (such as {strangers[0]}) is among the participants (such as {min(names)})"
        findings.append(Finding("", "", MEND, told, "write their ids as these are written"))
    return findings


def _of_folder(folder: Path, images: Mapping[str, str]) -> Layout:
    """The layout of a cohort folder as `training` takes it; columns of its participants table that have our names are these."""
    sources = {modality: ImageSource(files=(pattern,)) for modality, pattern in images.items()}
    table = folder / PARTICIPANTS
    try:
        columns = read_strictly(table).columns if table.is_file() else []
    except ValueError as error:
        raise InputProblems("Participants", [f"{table} is no tab-separated table in UTF-8 ({error}): save it as one."]) from error  # fmt: skip
    ours = {name: ColumnSource((name,)) for name in OUR_COLUMNS if name in columns}
    return Layout("the cohort folder", ("one space",), sources, (TableSource(PARTICIPANTS, required=True),), ours)


def _sessions(files: Files) -> dict[str, list[str]]:
    """Participant -> sessions that any of the maps is of."""
    of: dict[str, set[str]] = {}
    for image in (image for images in files.values() for image in images if image.session):
        of.setdefault(image.participant_id, set()).add(image.session)
    return {name: in_order_of_number(sorted(labels)) for name, labels in of.items()}
