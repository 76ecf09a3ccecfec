"""Write docs/options.md, the reference of every config's options, from the configs and the docstrings of a layout's entries.

    python docs/make_options.py

A option is a key at a config's top level that is set, not wired. Its default and its comment make a row; what is missing there
is taken from the config it refers to (`%configs/study.yaml::seed`), or from the option of that name in a shared config.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

from bundle.data import layouts

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "options.md"
STAGES = [
    "check",
    "prepare",
    "train",
    "evaluate",
    "inference",
    "cluster",
    "phenotypes",
    "predict",
    "report",
    "assign",
    "export",
    "map",
    "cross_validate",
    "calibrate",
]
SHARED = ("study", "train", "cluster")
"""Configs whose comments hold for options of the same name elsewhere."""
WIRES = ("imports", "bundle_root", "device", "preprocessing", "handlers", "initialize", "finalize", "run")
ENTRY = re.compile(
    r"^(?P<key>\w+):(?P<value>[^#\n]*)(?:#(?P<meaning>[^\n]*))?\n(?P<nested>(?:(?:[ #][^\n]*)?\n)*)", re.MULTILINE
)
LAYOUT = {
    "a layout": layouts.Layout,
    "`images`, each": layouts.ImageSource,
    "`jacobian`": layouts.JacobianKind,
    "`derive`, each": layouts.DerivationSource,
    "`tables`, each": layouts.TableSource,
    "`participants`, each": layouts.ColumnSource,
    "`relatives`": layouts.Relatives,
}
"""Where entries stand -> the class whose docstring explains them."""
TAKEN_OVER = re.compile(r'"%configs/(?P<config>\w+)\.yaml::(?P<key>\w+)"')
START = """# Every option

Written by `python docs/make_options.py` from the configs; edit those. [pipeline.md](pipeline.md) says what the stages are.

- Each option is an option of its command: `--max_epochs 20`.
- Entries of a mapping are reached by `::`: `--synthetic::n_subjects 100`. `images` and networks stand in files of their own, where `::`
  does not reach: give the whole mapping, `--images "{'T1w': '{participant_id}_T1w.nii.gz', ...}"`, or another file.
- Lists and mappings are written as in Python, and so are switches: `--progress False`.
- What several stages have must be given to each that has it.
"""


class Knob(NamedTuple):
    """One row."""

    default: str
    meaning: str


def read_knobs(name: str) -> dict[str, Knob]:
    """The options of `configs/<name>.yaml`, in its order."""
    knobs = {}
    for entry in ENTRY.finditer((ROOT / "configs" / f"{name}.yaml").read_text() + "\n"):
        value, nested = entry["value"].strip(), entry["nested"]
        is_component = "_target_" in value + nested or re.match(r"\s*- ", nested)
        if entry["key"] not in WIRES and not is_component and (value or nested.strip()):
            knobs[entry["key"]] = Knob(value or as_mapping(nested), (entry["meaning"] or "").strip())
    return knobs


def as_mapping(nested: str) -> str:
    """A mapping of several lines in one, comments left out."""
    entries = [re.sub(r"\s*#.*", "", line).strip() for line in nested.splitlines()]
    return "{" + ", ".join(entry for entry in entries if entry) + "}"


def complete(knobs: dict[str, Knob], shared: dict[str, Knob]) -> dict[str, Knob]:
    """With defaults and meanings from where they stand."""
    completed = {}
    for key, knob in knobs.items():
        source = TAKEN_OVER.fullmatch(knob.default)
        default = read_knobs(source["config"])[source["key"]].default if source else knob.default
        completed[key] = Knob(default, knob.meaning or shared.get(key, knob).meaning)
    return completed


def write_page() -> str:
    """The whole page.

    Raises:
        ValueError: for a option whose meaning stands nowhere, and for a config that is not on the page.
    """
    there = {file.stem for file in (ROOT / "configs").glob("*.yaml") if not file.stem.startswith("overlay_")}
    if there != {*STAGES, "study"}:
        raise ValueError(f"Expected configs {', '.join(STAGES)} and study, got {', '.join(sorted(there))}: fix STAGES.")
    shared: dict[str, Knob] = {}
    for name in reversed(SHARED):
        shared |= read_knobs(name)
    parts = [START]
    for name in STAGES:
        knobs = complete(read_knobs(name), shared)
        silent = [key for key, knob in knobs.items() if not knob.meaning]
        if silent:
            raise ValueError(f"configs/{name}.yaml: expected a comment that says what {', '.join(silent)} means.")
        head = re.findall(r"^# (.*)$", (ROOT / "configs" / f"{name}.yaml").read_text(), flags=re.MULTILINE)[0]
        rows = [_row(key, knob) for key, knob in knobs.items()]
        parts.append(
            "\n".join(
                [f"## `configs/{name}.yaml`", "", head, "", "| option | default | |", "| --- | --- | --- |", *rows, ""]
            )
        )
    parts.append(
        "\n".join(
            [
                "## Entries of a layout",
                "",
                "[layouts.md](layouts.md) shows them at work; `configs/layouts/` has four.",
                "",
                "| in | entry | |",
                "| --- | --- | --- |",
                *_layout_entries(),
                "",
            ]
        )
    )
    parts.append(
        "\n".join(
            [
                "## Parts",
                "",
                "Swapped whole, with a `%` before the path.",
                "",
                "| part | |",
                "| --- | --- |",
                *_parts(),
                "",
            ]
        )
    )
    return "\n".join(parts)


def _row(key: str, knob: Knob) -> str:
    cells = [f"`{key}`", f"`{knob.default}`", knob.meaning]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def first_sentence(config: str) -> str:
    """Of the comment that a config opens with."""
    words = " ".join(line[1:].strip() for line in config.splitlines() if line.startswith("#"))
    return re.split(r"(?<=[.?])\s", words)[0]


def _layout_entries() -> list[str]:
    rows = []
    for place, kind in LAYOUT.items():
        args = inspect.cleandoc(kind.__doc__ or "").split("Args:\n")[1].split("\n\n")[0]
        meanings = dict(re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", args, flags=re.MULTILINE))
        silent = [f.name for f in fields(kind) if f.name not in meanings]
        if silent:
            raise ValueError(f"bundle/data/layouts.py: expected {kind.__name__} to say what {', '.join(silent)} means.")
        rows += [_layout_row(place, f.name, meanings[f.name]) for f in fields(kind)]
    return rows


def _layout_row(place: str, name: str, meaning: str) -> str:
    return f"| {place} | `{name}` | " + re.sub(r"\s+", " ", meaning).replace("|", "\\|") + " |"


def _parts() -> list[str]:
    rows = []
    for folder in ("parts", "layouts", "scans", "studies"):
        for file in sorted((ROOT / "configs" / folder).glob("*.yaml")):
            rows.append(f"| `configs/{folder}/{file.name}` | {first_sentence(file.read_text())} |")
    return rows


if __name__ == "__main__":
    PAGE.write_text(write_page(), encoding="utf-8")
