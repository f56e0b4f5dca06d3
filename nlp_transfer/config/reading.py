"""A recipe's YAML, with overrides, as a validated config; all its errors are told at once.

Unknown keys are refused with the nearest match.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nlp_transfer.config.keys import BASELINES, SECTIONS, RecipeConfig
from nlp_transfer.config.problems import domain_problems, training_problems
from nlp_transfer.config.reference import kinds_at, type_words
from nlp_transfer.config.yaml_text import read_yaml
from nlp_transfer.errors import ConfigError, did_you_mean

MAX_PROBLEMS = 50
# A value in a message is cut here: a section of wrong shape may hold a whole file.
MAX_SHOWN_CHARACTERS = 200
SECTION, WHOLE, NUMBER = "hold keys and values", "be a whole number", "be a number"
# What pydantic's kinds of errors ask for.
EXPECTED = {
    "dict_type": SECTION, "dataclass_type": SECTION, "list_type": "be a list, such as [0, 1]",
    "int_parsing": WHOLE, "int_type": WHOLE, "int_from_float": WHOLE,
    "float_parsing": NUMBER, "float_type": NUMBER,
    "string_type": "be text (put quotes around a number)",
}  # fmt: skip
# More to say about a value that is often tried.
VALUE_ADVICE = {("task", "classification"): " (sentiment takes any one label per text)"}
# Where a domain's rows come from; another place takes the place of all of them.
PLACES = (
    "card", "path", "splits", "src_path", "tgt_path", "sha256", "format", "encoding", "columns"
)  # fmt: skip


def load_config(
    config: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    domains: Mapping[str, Mapping[str, Any]] | None = None,
    continue_from: str | None = None,
) -> RecipeConfig:
    """Read a recipe, apply `key.sub=value` overrides, and validate it.

    Args:
        config: its YAML file, or what such a file holds.
        overrides: see `apply_override`.
        domains: where the rows of `source` and `target` are, in place of where the recipe says they are.
        continue_from: takes the place of the recipe's own `continue_from`; None leaves it.

    Raises:
        ConfigError: the file cannot be read, or any key or value is wrong (all of them are listed).
    """
    if isinstance(config, Mapping):
        content, where = copy.deepcopy(dict(config)), "the configuration"
    else:
        content, where = _read_file(Path(config)), str(config)
    for override in overrides:
        apply_override(content, override)
    for name, place in (domains or {}).items():
        data = content["data"] = dict(content.get("data") or {})
        said = data.get(name)
        kept = said if isinstance(said, Mapping) else {}
        data[name] = {**{key: kept[key] for key in kept if key not in PLACES}, **place}
    if continue_from is not None:
        content["continue_from"] = continue_from
    return parse_config(content, where=where)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"no recipe at {path}; `nlp-transfer recipes list` shows the shipped ones and "
            "`nlp-transfer recipes copy NAME` puts one here"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a UTF-8 text file: {error}") from error
    content = read_yaml(text, where=str(path))
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold keys and values at its top level, not {type(content).__name__}")
    return content


def apply_override(content: dict[str, Any], override: str) -> None:
    """Set one `key.sub=value` in nested dictionaries, in place; the value is read as YAML.

    Raises:
        ConfigError: there is no `=`, or a part of the path is a plain value.
    """
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"override {override!r} must have the form key.sub=value")
    *parents, last = key.split(".")
    node = content
    for depth, name in enumerate(parents):
        if node.get(name) is None:
            node[name] = {}
        node = node[name]
        if not isinstance(node, dict):
            raise ConfigError(
                f"override {override!r}: {'.'.join(parents[: depth + 1])} is a value, not a section"
            )
    node[last] = read_yaml(value, where=f"the value of override {override!r}")


def parse_config(content: Mapping[str, Any], *, where: str = "the configuration") -> RecipeConfig:
    """Validate nested dictionaries as a recipe.

    Raises:
        ConfigError: listing every unknown key (with the nearest known one) and every wrong value.
    """
    problems: list[str] = []
    config: RecipeConfig | None = None
    try:
        config = TypeAdapter(RecipeConfig).validate_python(_with_baselines(content))
    except ValidationError as error:
        problems += [_describe(problem, content) for problem in error.errors()]
    for section in (("training",), ("source_stage", "training"), ("adaptation", "training")):
        problems += training_problems(content, section)
    if config is not None:
        problems += domain_problems(config)
    if problems or config is None:
        told = list(dict.fromkeys(problems))
        listing = "\n".join(f"  - {problem}" for problem in told[:MAX_PROBLEMS])
        more = f"\n  and {len(told) - MAX_PROBLEMS} more" if len(told) > MAX_PROBLEMS else ""
        raise ConfigError(f"{where} has {len(told)} problem(s):\n{listing}{more}")
    return config


def _with_baselines(content: Mapping[str, Any]) -> dict[str, Any]:
    """Spell out the systems to compare with, which follow from the task, where a recipe leaves them out.

    A classifier that is adapted from no source model has no `target_only` beside it: `scratch` tells what the
    pretrained weights are worth.
    """
    evaluation, task = content.get("evaluation", {}), content.get("task")
    if not isinstance(evaluation, Mapping) or "baselines" in evaluation or task not in BASELINES:
        return dict(content)
    systems, data = list(BASELINES[task]), content.get("data")
    has_source = isinstance(data, Mapping) and data.get("source") and content.get("source_stage", True)
    if task == "sentiment" and not has_source and not content.get("continue_from"):
        systems = ["scratch" if system == "target_only" else system for system in systems]
    return {**content, "evaluation": {**evaluation, "baselines": systems}}


def as_dict(config: RecipeConfig) -> dict[str, Any]:
    """Spell out a config with every default, as plain values."""
    return dataclasses.asdict(config)


def _describe(problem: Any, content: Mapping[str, Any]) -> str:
    """Word one pydantic error with the key's path, what was expected, and the nearest match of a name."""
    several = kinds_at(problem["loc"])
    if several is not None:
        # pydantic has an error for each kind that the value is not.
        path, hint = several
        given = functools.reduce(lambda node, name: node[name], path.split("."), content)
        return f"{path}: cannot be {_shown(given)}; give {type_words(hint).replace('`', '')}"
    path, kind, given = ".".join(str(part) for part in problem["loc"]), problem["type"], problem["input"]
    shown = _shown(given)
    if kind == "unexpected_keyword_argument":
        wrong = f"unknown key; {did_you_mean(str(problem['loc'][-1]), _keys_at(problem['loc'][:-1]))}"
    elif kind in ("missing", "missing_argument"):
        wrong = "is missing"
    elif kind == "literal_error":
        names = re.findall(r"'([^']+)'", problem["ctx"]["expected"])
        near = did_you_mean(str(given), names) if isinstance(given, str) else f"one of {', '.join(names)}"
        wrong = f"cannot be {shown}; {near}{VALUE_ADVICE.get((path, str(given)), '')}"
    elif kind in EXPECTED:
        advice = _section_advice(path, given) if EXPECTED[kind] == SECTION else ""
        wrong = f"must {EXPECTED[kind]}, got {shown}{advice}"
    else:
        wrong = f"{problem['msg'][0].lower()}{problem['msg'][1:]}, got {shown}"
    return f"{path}: {wrong}"


def _shown(value: object) -> str:
    """Write a value for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}..."


def _section_advice(path: str, given: object) -> str:
    """Say what a section that holds one plain value should look like."""
    if given is None:
        return "; leave the key out where nothing is set"
    if isinstance(given, str) and path in ("model", "data.source", "data.target"):
        return f"; a file or a model is named by {{path: {given}}}"
    return ""


def _keys_at(location: Sequence[Any]) -> list[str]:
    """List the keys that the section at this path may have."""
    section = SECTIONS.get(".".join(map(str, location)), RecipeConfig)
    return [field.name for field in dataclasses.fields(section)]
