"""What a stage is run with, as plain values that can be recorded and compared later."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

NETWORK = "network_def"
"""Recorded though it is a component: what it is built with shapes every result."""


def plain_settings(config: Mapping[str, Any], overlay: Mapping[str, Any], left_out: Sequence[str]) -> dict[str, Any]:
    """Plain values at the top of a config, the network, and whatever the overlay reaches deeper for.

    Args:
        config: of a stage, as its file has it.
        overlay: keys and values laid over it.
        left_out: keys at the top that do not count.
    """
    parser = ConfigParser({})
    for key, value in [*config.items(), *overlay.items()]:
        merge_kv(parser, key, value)
    parser.resolve_macro_and_relative_ids()
    settings = {
        key: value
        for key, value in parser.get().items()
        if key not in left_out and (key == NETWORK or _is_plain(value))
    }
    deep = {
        key: value for key, value in overlay.items() if root_of(key) not in settings and root_of(key) not in left_out
    }
    return json.loads(json.dumps(settings | deep))


def root_of(key: str) -> str:
    """The key at a config's top that a key reaches through."""
    return key.lstrip("+").replace("#", "::").split("::")[0]


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "_target_" not in value and all(_is_plain(part) for part in value.values())
    if isinstance(value, list):
        return all(_is_plain(part) for part in value)
    return not (isinstance(value, str) and value.startswith(("$", "@", "%")))
