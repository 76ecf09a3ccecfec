"""A layout: where a source keeps each map, its tables and its families. It is data, read from YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from bundle.data.file_patterns import ANY_ID
from bundle.data.id_forms import level_form
from bundle.data.near_names import near_name
from bundle.data.problems import InputProblems
from bundle.data.yaml_text import read_as

KINDS = ("raw", "log")
AFFINE = ("excluded", "included")
DIRECTIONS = ("subject_to_template", "template_to_subject")
WORDS = ("files", "without", "mask", "matrix", "columns", "jacobian_of", "warp", "image", "native", "like", "missing")
"""Entries that are a list of words, or one word."""
OUR_COLUMNS = ("family_id", "family_size", "zygosity", "age_years", "sex", "site", "head_size_ml", "motion_mm")
"""Of `participants.tsv`, that later stages know by name; a layout may have others."""
COMPANIONS = {"native": "the image that the warp was made for", "like": "that image in the template"}


@dataclass(frozen=True)
class JacobianKind:
    """What a source's Jacobian determinants are; larger than 1 means that the participant is locally larger.

    Args:
        kind: `raw` determinants or their `log`.
        affine: whether the affine part of the registration is `included` in them or `excluded`.
        matrix: patterns of a text file with the 4 x 4 affine, needed to take it out.
        direction: which way that matrix maps, `subject_to_template` or `template_to_subject`.
    """

    kind: str = "raw"
    affine: str = "excluded"
    matrix: tuple[str, ...] = ()
    direction: str = "subject_to_template"


@dataclass(frozen=True)
class DerivationSource:
    """What a map is made of where no file holds it; all are patterns, the first that exists wins.

    Args:
        jacobian_of: a warp, whose Jacobian determinants are the map; or
        warp: a warp which `image` is brought to the template by. Warps take points of the template to the native image.
        image: the map in native space; needed with `warp`.
        native: the image that the warp was made for.
        without: patterns of file names that are not meant as `image` or `native` though their patterns match them.
        like: that image in the template. A map is made on its grid (on the warp's own where that is a dense FSL field), brain is
            where it is above 0, and a warp that does not lay `native` on it is refused.
    """

    jacobian_of: tuple[str, ...] = ()
    warp: tuple[str, ...] = ()
    image: tuple[str, ...] = ()
    native: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    like: tuple[str, ...] = ()

    @property
    def patterns(self) -> dict[str, tuple[str, ...]]:
        """What the files are called for participants -> their patterns."""
        named = {"warp": self.jacobian_of or self.warp, "image": self.image, "native": self.native, "like": self.like}
        return {name: patterns for name, patterns in named.items() if patterns}


@dataclass(frozen=True)
class ImageSource:
    """Where one map is.

    Args:
        files: patterns, the first that exists wins; `bundle.data.file_patterns` says what may stand in them.
        column: of a table, which holds the path; instead of `files`.
        derive: what the map is made of where there is no file; the first of these whose files are there.
        without: patterns of file names that are not meant though `files` match them.
        mask: patterns of a brain mask on the same grid; voxels outside it become 0.
        jacobian: for Jacobian determinants.
        hint: what to do where the map is missing, for participants.
    """

    files: tuple[str, ...] = ()
    column: str = ""
    derive: tuple[DerivationSource, ...] = ()
    without: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    jacobian: JacobianKind | None = None
    hint: str = ""


@dataclass(frozen=True)
class TableSource:
    """One table, or several of one form.

    Args:
        file: pattern, relative to the folder of tables.
        key: column with the ids.
        prefix: put before ids that do not have it.
        restricted: no column of it may be passed on.
        required: refused if no file matches.
        warning: said if no file matches.
        missing: numbers that stand for a missing value, in columns of whole numbers; empty cells and n/a always do.
    """

    file: str
    key: str = "participant_id"
    prefix: str = ""
    restricted: bool = False
    required: bool = False
    warning: str = ""
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class ColumnSource:
    """Where one column of `participants.tsv` comes from.

    Args:
        columns: names in the source; each participant has the value of the first that is there and not empty. `{session}`
            stands for the participant's session.
        values: source's word -> ours; other words stay.
    """

    columns: tuple[str, ...]
    values: Mapping[str, str] = field(default_factory=dict)

    def translated(self, word: str) -> str:
        """Our word for one of the source: by the word itself, by the number that it is, or by what YAML made of it in the layout."""
        by_number = {level_form(key): value for key, value in self.values.items()}
        for known, key in ((self.values, word), (by_number, level_form(word)), (self.values, read_as(word))):
            if key in known:
                return known[key]
        return word


@dataclass(frozen=True)
class Relatives:
    """A list of related pairs, from which families are made.

    Args:
        file: pattern of a table separated by blanks, tabs or commas.
        columns: of the two ids, with or without the tables' prefix.
        kinship: column of the kinship coefficient.
        at_least: pairs below are not counted as relatives (0.0442 is the third degree).
    """

    file: str
    columns: tuple[str, ...]
    kinship: str
    at_least: float = 0.0442


@dataclass(frozen=True)
class Layout:
    """A source of images and tables.

    Args:
        name: for participants.
        space: template spaces that its images may be in; more than one where `{space}` stands in file names.
        images: modality -> where it is.
        tables: joined on their keys.
        participants: our column -> where it comes from; `family_id` keeps relatives together.
        restricted: columns, by name or with `*`, that may not be passed on, whichever table they are in; each must match a column.
        restricted_if_there: the same, of columns that only some exports of the tables have.
        phenotypes: columns, with `*`, that may go to `phenotypes.tsv`; those of numbers do.
        relatives: related pairs; they join families that a column names, too.
        ids: regular expression of participant ids, where other names could be taken for some.
    """

    name: str
    space: tuple[str, ...]
    images: Mapping[str, ImageSource]
    tables: tuple[TableSource, ...] = ()
    participants: Mapping[str, ColumnSource] = field(default_factory=dict)
    restricted: tuple[str, ...] = ()
    restricted_if_there: tuple[str, ...] = ()
    phenotypes: tuple[str, ...] = ("*",)
    relatives: Relatives | None = None
    ids: str = ANY_ID

    @property
    def prefix(self) -> str:
        """Of ids in the tables, which lists of participants may do without; that of the first table that has one."""
        return next((table.prefix for table in self.tables if table.prefix), "")


def read_layout(content: Any) -> Layout:
    """A layout from what its YAML file says.

    Raises:
        InputProblems: naming every entry that is unknown, missing or of the wrong kind.
    """
    if not isinstance(content, Mapping):
        raise InputProblems("Layout", [f"Expected the content of a YAML file: write --layout %FILE, as in --layout %configs/layouts/bids.yaml; got {content!r:.60}."])  # fmt: skip
    title = f"Layout {content.get('name', '')}".strip()
    problems = [f"No entry {name!r}: a layout has name, space and images." for name in ("name", "space", "images") if not content.get(name)]  # fmt: skip
    values: dict[str, Any] = {"name": "", "space": (), "images": {}} | dict(content)
    values["space"] = _words(values["space"], "space", problems)
    values["images"] = {m: _image(m, entry, problems) for m, entry in _pairs(values["images"])}
    values["tables"] = tuple(_table(entry, problems) for entry in values.get("tables") or [])
    values["participants"] = {
        name: _column(name, entry, problems) for name, entry in _pairs(values.get("participants"))
    }
    for name in ("restricted", "restricted_if_there", "phenotypes"):
        if name in values:
            values[name] = _words(values[name], name, problems)
    if values.get("relatives") is not None:
        values["relatives"] = _build(Relatives, values["relatives"], "relatives", problems)
    layout = _build(Layout, values, "", problems)
    if problems:
        raise InputProblems(title, problems)
    return layout


def _table(entry: Any, problems: list[str]) -> Any:
    source = _build(TableSource, entry, "tables", problems)
    if source is not None:
        words = [code for code in source.missing if not re.fullmatch(r"-?\d+", code)]
        problems += [f"tables: missing: expected whole numbers such as -1, got {word!r}." for word in words]
    return source


def _image(modality: str, entry: Any, problems: list[str]) -> ImageSource:
    values = dict(entry) if isinstance(entry, Mapping) else {"files": entry}
    jacobian = values.get("jacobian")
    if jacobian is not None:
        kind = _build(JacobianKind, jacobian, f"images: {modality}: jacobian", problems)
        for name, known in (("kind", KINDS), ("affine", AFFINE), ("direction", DIRECTIONS)):
            if kind is not None and getattr(kind, name) not in known:
                problems.append(f"images: {modality}: jacobian: {name} must be {' or '.join(known)}, got {getattr(kind, name)!r}.")  # fmt: skip
        if kind is not None and kind.affine == "included" and not kind.matrix:
            problems.append(f"images: {modality}: jacobian: affine is included, so name the file with its matrix.")
        values["jacobian"] = kind
    if "derive" in values:
        ways = values["derive"] if isinstance(values["derive"], list | tuple) else [values["derive"]]
        values["derive"] = tuple(_derivation(f"images: {modality}: derive", way, problems) for way in ways)
    source = _build(ImageSource, values, f"images: {modality}", problems) or ImageSource()
    if bool(source.files) == bool(source.column) and not (source.derive and not source.files):
        problems.append(f"images: {modality}: give either files (patterns) or column.")
    needed = [*source.files, *(p for way in source.derive for own in way.patterns.values() for p in own)]
    problems += [
        f"images: {modality}: the pattern {pattern!r} has no {{participant_id}}."
        for pattern in needed
        if "{participant_id}" not in pattern
    ]
    return source


def _derivation(where: str, entry: Any, problems: list[str]) -> DerivationSource:
    way = _build(DerivationSource, entry, where, problems) or DerivationSource()
    if isinstance(entry, Mapping):
        if bool(way.jacobian_of) == bool(way.warp) or bool(way.warp) != bool(way.image):
            problems.append(f"{where}: give either jacobian_of (a warp), or warp and image.")
        problems += [
            f"{where}: no {name}: {meaning}." for name, meaning in COMPANIONS.items() if not getattr(way, name)
        ]
    return way


def _column(name: str, entry: Any, problems: list[str]) -> ColumnSource:
    meant = "" if name in OUR_COLUMNS else near_name(name, OUR_COLUMNS)
    if meant:
        problems.append(f"participants: {name!r} is no column that later stages know: did you mean {meant!r}?")
    values = dict(entry) if isinstance(entry, Mapping) else {"columns": entry}
    own = values.get("values")
    if own is not None and not isinstance(own, Mapping):
        problems.append(f"participants: {name}: values: expected their word: ours for each, got {own!r:.60}.")
    values["values"] = {
        key: _word(value, f"participants: {name}: values: {key}", problems) for key, value in _pairs(own)
    }
    return _build(ColumnSource, values, f"participants: {name}", problems) or ColumnSource(())


def _build(kind: type, entry: Any, where: str, problems: list[str]) -> Any:
    """An object of a class from a mapping; lists of words become tuples. None, and a sentence, if it cannot be."""
    known = {f.name: f.type for f in fields(kind)}
    if not isinstance(entry, Mapping):
        problems.append(f"{where}: expected {', '.join(known)}, got {entry!r:.60}.")
        return None
    before = f"{where}: " if where else ""
    for name in entry:
        if name not in known:
            meant = near_name(str(name), known)
            problems.append(f"{before}unknown entry {name!r}: " + (f"did you mean {meant!r}?" if meant else f"known are {', '.join(known)}."))  # fmt: skip
    values = {name: value for name, value in entry.items() if name in known}
    for name in values:
        if name in WORDS:
            values[name] = _words(values[name], f"{before}{name}", problems)
        elif known.get(name) == "str" and values.get(name) is not None:
            values[name] = _word(values[name], f"{before}{name}", problems)
    for name, value in values.items():
        if known[name] == "bool" and not isinstance(value, bool):
            problems.append(f"{before}{name}: expected true or false without quotes, got {value!r:.60}.")
        if known[name] == "float" and (isinstance(value, bool) or not isinstance(value, int | float)):
            problems.append(f"{before}{name}: expected a number, got {value!r:.60}.")
    try:
        return kind(**values)
    except TypeError as error:  # an entry that must be there
        problems.append(f"{where}: {error}.")
        return None


def _words(value: Any, where: str, problems: list[str]) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(_word(word, where, problems) for word in (value if isinstance(value, list | tuple) else [value]))


def _word(value: Any, where: str, problems: list[str]) -> str:
    """A name or word as text; a sentence if YAML made something else of it that cannot be told from its text."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        problems.append(
            f"{where}: expected a word, got {value!r:.60}: YAML reads yes, no, on, off, true, false, empty words and dates as "
            "something else unless they stand in quotes; put quotes around it."
        )
    return str(value)


def _pairs(value: Any) -> list[tuple[str, Any]]:
    return [(str(key), entry) for key, entry in value.items()] if isinstance(value, Mapping) else []
