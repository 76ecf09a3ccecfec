"""A stage's config with all that it needs in itself, so that it can be read from any folder."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from monai.bundle import ConfigParser

from bundle.running.config_keys import runs_of, unused_keys

STAGES = ("train", "evaluate", "inference", "cluster", "assign", "report")
"""Configs that a package holds; `assign` only with a stratifier."""
TOP_KEY = re.compile(r"^(?=[A-Za-z_])", re.MULTILINE)
MACRO = re.compile(r'^( *)(\w+): "(%[^"\s]+)"(\s*#.*)?$', re.MULTILINE)
WIDTH = 110


def self_contained(file: Path, root: Path, settings: Mapping[str, Any]) -> str:
    """The text of a stage's config without macros, comments kept, that runs wherever MONAI starts it.

    MONAI puts a package's root on the import path after `initialize` and before the run, so what `initialize` does becomes
    the first thing that each run does. Keys that nothing refers to any more are left out.

    Args:
        file: the stage's YAML.
        root: folder that paths in macros start from.
        settings: key at the root -> its new value; those that the stage does not have are passed over.

    Returns:
        YAML.
    """
    header, *parts = TOP_KEY.split(file.read_text(encoding="utf-8"))
    blocks = {part.split(":", 1)[0]: part for part in parts}
    for key, value in settings.items():
        if key in blocks:
            blocks[key] = _with_value(blocks[key], key, value)
    blocks = {key: _resolved(block, root) for key, block in blocks.items()}
    first_steps = blocks.pop("initialize").split("\n", 1)[1]
    for run in runs_of(_content(blocks)):
        name, steps = blocks[run].split("\n", 1)
        blocks[run] = f"{name}\n{first_steps}{steps}"
    content = _content(blocks)
    blocks = {key: _resolved(block, root, content) for key, block in blocks.items()}
    for key in unused_keys(_content(blocks)):
        del blocks[key]
    return header + "".join(blocks.values())


def network_definition(signature: Mapping[str, Any]) -> dict[str, Any]:
    """What a config needs to build the network that a signature is of; see `FusionAutoencoder.signature`."""
    arguments = dict(signature)
    definition: dict[str, Any] = {"_target_": f"custom_nets.{arguments.pop('network')}", **arguments}
    return definition | {key: f"@{key}" for key in ("modalities", "spatial_size") if key in arguments}


def _with_value(block: str, key: str, value: Any) -> str:
    first = block.split("\n", 1)[0]
    comment = re.search(r"\s+#.*$", first)
    blank = "\n" if block.endswith("\n\n") else ""
    return _rendered("", key, value, comment.group() if comment else "") + "\n" + blank


def _content(blocks: Mapping[str, str]) -> dict[str, Any]:
    return yaml.safe_load("".join(blocks.values()))


def _resolved(block: str, root: Path, content: Mapping[str, Any] | None = None) -> str:
    """With macros to other files replaced; given the config's content, those to places in it too."""

    def replaced(found: re.Match[str]) -> str:
        indent, key, macro, comment = found.groups()
        path, place = ConfigParser.split_path_id(macro[1:])
        if not path and content is None:
            return found.group()
        parser = ConfigParser(ConfigParser.load_config_file(str(root / path)) if path else content)
        return _rendered(indent, key, parser[place] if place else parser.get(), comment or "")

    return MACRO.sub(replaced, block)


def _rendered(indent: str, key: str, value: Any, comment: str) -> str:
    flow = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1e9).removesuffix("\n...\n").strip()
    if len(flow) + len(key) < WIDTH or not isinstance(value, (dict, list)):
        return f"{indent}{key}: {flow}{comment}"
    text = yaml.safe_dump(value, default_flow_style=None, sort_keys=False, width=WIDTH).rstrip("\n")
    return f"{indent}{key}:{comment}\n{textwrap.indent(text, indent + '  ')}"
