"""The data dictionary: what the items of a phenotype table are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle.data.problems import InputProblems
from bundle.data.yaml_text import read_yaml_text

SCALES = ("number", "ordinal")


@dataclass(frozen=True)
class ItemFacts:
    """What the data dictionary says of an item.

    Args:
        label: for participants; None takes the column's name.
        direction: -1 turns the item round, so that more of it is more of what its label says.
        scale: `number`, or `ordinal`: only the order of its values counts.
        demographic: describes participants and has no part in the factors.
    """

    label: str | None = None
    direction: int = 1
    scale: str = "number"
    demographic: bool = False


def read_dictionary(source: str | Path | Mapping[str, Any]) -> dict[str, ItemFacts]:
    """Column -> what it is.

    Args:
        source: YAML file, whose words are taken as they are written, or its content.

    Raises:
        InputProblems: naming every entry that cannot be.
    """
    content: Any = source
    if isinstance(source, str | Path):
        content = read_yaml_text(Path(source).expanduser(), "Data dictionary")
    if not isinstance(content, Mapping) or not content:
        raise InputProblems(
            "Data dictionary", [f"Expected item: {{label: ..., scale: number}} for each item, got {content!r:.80}."]
        )
    items, problems = {}, []
    for name, facts in content.items():
        try:
            item = ItemFacts(**_typed(facts or {}))
        except (TypeError, ValueError):
            problems.append(f"{name}: expected label, direction, scale, demographic, got {facts!r}.")
            continue
        if item.direction not in (1, -1):
            problems.append(f"{name}: direction must be 1 or -1, got {item.direction!r}.")
        if item.scale not in SCALES:
            problems.append(f"{name}: scale must be one of {', '.join(SCALES)}, got {item.scale!r}.")
        items[str(name)] = item
    if problems:
        raise InputProblems("Data dictionary", problems)
    return items


def _typed(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of an item as the dictionary's file has them, words, or as a config has them.

    Raises:
        ValueError: for a direction or a switch that is none.
    """
    values = dict(facts)
    if "direction" in values:
        values["direction"] = int(str(values["direction"]))
    if "demographic" in values:
        word = str(values["demographic"]).lower()
        if word not in ("true", "yes", "on", "false", "no", "off"):
            raise ValueError(word)
        values["demographic"] = word in ("true", "yes", "on")
    return values | ({"label": str(values["label"])} if values.get("label") is not None else {})
