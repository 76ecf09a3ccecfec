"""Which keys a config knows, so that a misspelt one is not taken for a new setting."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from pydoc import locate
from typing import Any

from monai.bundle import ComponentLocator, ConfigParser, ReferenceResolver
from monai.bundle.config_item import ConfigComponent
from monai.bundle.utils import merge_kv

from bundle.running.setting_ranges import number_problems

SETTINGS = {
    "synthetic": "bundle.data.synthetic.CohortSettings",
    "cohort": "bundle.data.synthetic.CohortSettings",
    "choice": "bundle.analysis.choice_settings.ChoiceSettings",
    "factors": "bundle.analysis.phenotype_cohort.FactorSettings",
    "tests": "bundle.analysis.phenotyping.TestSettings",
    "study": "bundle.study.settings.StudySettings",
    "cross_validation": "bundle.prediction.settings.CrossValidationSettings",
    "sources": "bundle.prediction.inputs.Sources",
}
"""Mappings that become the fields of a dataclass, so that a config need not list them all."""
ANY_KEY = ("images", "_meta_", "arguments", "options", "clustering", "layout", "also")
"""Mappings with keys of the user's own, or with those of another stage, which their readers check."""
BY_MODALITY = ("modality_weights", "files")
"""Mappings whose keys are modalities: those that `images` has patterns for."""

MONAI_KEYS = ("imports", "bundle_root", "initialize", "finalize", "_meta_", "run", "postprocessing")
"""What MONAI, or a program that takes a bundle, looks for at the root."""


class KnownKeys:
    """A config that takes settings one by one, as MONAI does, and says which of them it does not know.

    A key is known if it is there already; if it is an argument of its mapping's `_target_`, a field of its dataclass,
    or a modality; or, at the root, if something refers to it (`@key`, `%key`). A switch takes no text, which would count as
    true.

    Args:
        config: a stage's own file, as `ConfigParser.load_config_file` gives it.
        others: further names that are known at the root.
    """

    def __init__(self, config: Mapping[str, Any], others: Collection[str] = ()) -> None:
        self.parser = ConfigParser({})
        for key, value in config.items():
            merge_kv(self.parser, key, value)
        self.others = set(others)
        self._mark = ""

    def take(self, settings: Mapping[str, Any], mark: str = "") -> dict[str, list[str]]:
        """Merge settings in, in order; those that are not known are left out.

        Args:
            settings: key -> value; `::` and `#` in a key reach deep, `+` before it appends.
            mark: written before keys: `--` if they are options.

        Returns:
            Key -> a sentence for each thing that is wrong with it, for those left out.
        """
        self._mark = mark
        referred = set(re.findall(r"[@%](\w+)", repr([self.parser.get(), settings])))
        problems = {}
        for key, value in settings.items():
            place = ReferenceResolver.normalize_id(key.removeprefix("+"))
            found = self._problems_of_key(place, referred) or list(
                self._problems_of_value(place, value, self.parser.get(place))
            )
            if found:
                problems[key] = found
                continue
            try:
                merge_kv(self.parser, key, value)
            except ValueError:
                problems[key] = [f"{key} appends to a list or a mapping: give it one, got {value!r}."]
        return problems

    def value_of(self, key: str) -> Any:
        """What stands at a key, its macro replaced by what it stands for."""
        return self._content(self.parser.get(key))

    def _problems_of_key(self, place: str, referred: Collection[str]) -> list[str]:
        keys = place.split("::")
        node = self.parser.get()
        for depth, key in enumerate(keys):
            above = "::".join(keys[:depth])
            if isinstance(node, dict):
                known = set(node)
                if depth == len(keys) - 1:  # MONAI makes the last key, not those before it
                    new = self._legal_keys(above, node, node)
                    if new is None:
                        return []
                    known |= new | (self.others | set(referred) if depth == 0 else set())
                if key not in known:
                    return [unknown(key, above, known, self._mark)]
                node = node.get(key)
            elif isinstance(node, list):
                if not key.isdigit() or int(key) >= len(node):
                    return [f"Unknown {self._mark}{place}: {above} has entries 0 to {len(node) - 1}."]
                node = node[int(key)]
            else:
                mark = self._mark
                return [f"{mark}{place} cannot reach into {above}, which is {node!r}: give {mark}{above} whole."]
        return []

    def _problems_of_value(self, place: str, value: Any, base: Any) -> Iterator[str]:
        """What is wrong inside a mapping or list that is given whole, compared with what stood there."""
        value, base = self._content(value), self._content(base)
        name = self._mark + place
        if isinstance(base, bool) and _is_no_switch(value):
            words = f"{name} True or {name} False, with a capital" if self._mark else "true or false, without quotes"
            yield f"{name}: {value!r} is no switch, and text would count as true: write {words}."
        yield from number_problems(name, place, value, base)
        if isinstance(base, dict) and isinstance(value, str) and not value.startswith(("$", "@")):
            yield f"{name}: expected a mapping, or a file with % before its path, got {value!r}."
        if isinstance(base, list) and isinstance(value, int | float):
            yield f"{name}: expected a list such as {base}, got {value!r}."
        if isinstance(value, list):
            for number, entry in enumerate(value):
                yield from self._problems_of_value(f"{place}::{number}", entry, None)
        if isinstance(value, dict) and place.rsplit("::", 1)[-1] not in ANY_KEY:
            base = base if isinstance(base, dict) else None
            legal = self._legal_keys(place, value, base)
            for key, entry in value.items():
                if legal is not None and key not in legal:
                    yield unknown(key, place, legal, self._mark)
                yield from self._problems_of_value(f"{place}::{key}", entry, base.get(key) if base else None)

    def _legal_keys(self, place: str, node: Mapping[str, Any], base: Mapping[str, Any] | None) -> set[str] | None:
        """Keys that the mapping at a place may have; None: any."""
        name = place.rsplit("::", 1)[-1]
        if "_target_" in node:
            return arguments_of(node["_target_"])
        if name in SETTINGS:
            return {field.name for field in dataclasses.fields(_located(SETTINGS[name]))}
        if name in BY_MODALITY:
            base = self._content(self.parser.get("images"))
        return set(base) if isinstance(base, dict) and name not in ANY_KEY else None

    def _content(self, value: Any) -> Any:
        """What a macro stands for; None if its file cannot be read, which MONAI then says."""
        if not isinstance(value, str) or not value.startswith("%"):
            return value
        file, place = ConfigParser.split_path_id(value[1:])
        try:
            return (ConfigParser(ConfigParser.load_config_file(file)) if file else self.parser).get(place)
        except OSError:
            return None


def _is_no_switch(value: Any) -> bool:
    """Whether text or a number stands where true or false belongs; references and expressions are left to MONAI."""
    if isinstance(value, str):
        return value != "true" and not value.startswith(("$", "@"))
    return isinstance(value, int | float) and not isinstance(value, bool)


def unused_keys(config: Mapping[str, Any]) -> list[str]:
    """Keys at the root that nothing refers to and MONAI does not run: they have no effect.

    Args:
        config: a stage's own file.
    """
    known = KnownKeys(config)
    contents = [known.value_of(key) for key in known.parser.get()]
    used = {*MONAI_KEYS, *runs_of(known.parser.get()), *re.findall(r"[@%](\w+)", repr([config, contents]))}
    return [key for key in known.parser.get() if key not in used]


def runs_of(config: Mapping[str, Any]) -> list[str]:
    """What can be run: lists of components, but not what every run starts with."""
    return [
        key
        for key, value in config.items()
        if isinstance(value, list) and value and isinstance(value[0], dict) and key not in ("initialize", "finalize")
    ]


def unknown(key: str, above: str, known: Iterable[str], mark: str = "") -> str:
    """A sentence that names a key that is not known in the mapping above it, and the nearest that is."""
    prefix = f"{mark}{above}::" if above else mark
    near = difflib.get_close_matches(str(key), sorted(map(str, known)), n=1)
    return f"Unknown {prefix}{key}" + (f": did you mean {prefix}{near[0]}?" if near else ".")


def arguments_of(target: str) -> set[str] | None:
    """Names that a `_target_` takes, MONAI's own (`_mode_`, ...) included; None if it takes any or cannot be asked."""
    try:
        parameters = inspect.signature(_located(target)).parameters
    except (TypeError, ValueError):
        return None
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return None
    return {*parameters, *ConfigComponent.non_arg_keys}


@cache
def _located(target: str) -> Any:
    """The class or function of a dotted path or of one of MONAI's bare names; None if there is none."""
    try:
        return locate(ConfigComponent({"_target_": target}, locator=_locator()).resolve_module_name())
    except Exception:  # whatever a broken module raises; MONAI says so when it builds it
        return None


@cache
def _locator() -> ComponentLocator:
    return ComponentLocator()
