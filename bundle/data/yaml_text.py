"""YAML whose words stay as they are written: NO, on, 01 and 2.50 are names of columns or codes as often as not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from bundle.data.problems import InputProblems

MOST_NODES = 1_000_000
"""Of a document with its aliases written out: a few lines of aliases can stand for more than any memory holds."""
KEPT_TAGS = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")


class TextLoader(yaml.SafeLoader):
    """Reads every word as text but null."""

    yaml_implicit_resolvers = {
        first: [(tag, expression) for tag, expression in resolvers if tag in KEPT_TAGS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read_yaml_text(path: Path, title: str) -> Any:
    """The content of a YAML file, all words as text.

    Raises:
        InputProblems: if it is not there, no YAML in UTF-8, nested too deeply, too large with its aliases written out, or has a
            key twice.
    """
    if not path.is_file():
        raise InputProblems(title, [f"No {path}: give a YAML file."])
    try:
        loader = TextLoader(path.read_text(encoding="utf-8-sig"))
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node)
        return loader.construct_document(node)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise InputProblems(title, [f"{path} is not YAML: {error}"]) from error
    except RecursionError as error:
        raise InputProblems(title, [f"{path} is not YAML that can be read: it is nested too deeply."]) from error


def read_as(word: str) -> str:
    """What YAML makes of a word without quotes, as text: `True` of yes, `1` of 01, `2.5` of 2.50."""
    resolvers = yaml.SafeLoader.yaml_implicit_resolvers.get(word[:1], [])
    if not any(expression.match(word) for _, expression in resolvers):
        return word
    try:
        return str(yaml.safe_load(word))
    except (yaml.YAMLError, ValueError):
        return word


def _check(node: yaml.Node) -> None:
    """Raises ValueError for too many nodes, aliases inside themselves, and keys that stand twice."""
    sizes: dict[int, int] = {}

    def size_of(part: yaml.Node) -> int:
        if id(part) in sizes:
            if not sizes[id(part)]:
                raise ValueError(f"an alias stands inside itself, line {part.start_mark.line + 1}")
            return sizes[id(part)]
        sizes[id(part)] = 0
        children: list[yaml.Node] = []
        if isinstance(part, yaml.SequenceNode):
            children = part.value
        elif isinstance(part, yaml.MappingNode):
            keys = [key.value for key, _ in part.value if isinstance(key, yaml.ScalarNode)]
            twice = sorted({key for key in keys if key != "<<" and keys.count(key) > 1}) if len(set(keys)) < len(keys) else []  # fmt: skip
            if twice:
                raise ValueError(f"{twice[0]} stands twice, line {part.start_mark.line + 1}: keep one")
            children = [child for pair in part.value for child in pair]
        total = 1 + sum(size_of(child) for child in children)
        if total > MOST_NODES:
            raise ValueError(f"its aliases stand for more than {MOST_NODES} entries")
        sizes[id(part)] = total
        return total

    size_of(node)
