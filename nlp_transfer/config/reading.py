"""A recipe's YAML, with overrides, as a validated config; all its errors are told at once.

Unknown keys are refused with the nearest match.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nlp_transfer.config.keys import BASELINES, SECTIONS, RecipeConfig
from nlp_transfer.config.problems import domain_problems, training_problems
from nlp_transfer.config.yaml_text import read_yaml
from nlp_transfer.errors import ConfigError, did_you_mean


def load_config(
    path: str | Path, overrides: Sequence[str] = (), *, continue_from: str | None = None
) -> RecipeConfig:
    """Read a recipe's YAML file, apply `key.sub=value` overrides, and validate it.

    Args:
        path: the file.
        overrides: see `apply_override`.
        continue_from: takes the place of the file's own `continue_from`; None leaves it.

    Raises:
        ConfigError: the file cannot be read, or any key or value is wrong (all of them are listed).
    """
    path = Path(path)
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
    for override in overrides:
        apply_override(content, override)
    if continue_from is not None:
        content["continue_from"] = continue_from
    return parse_config(content, where=str(path))


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
        problems += [_describe(problem) for problem in error.errors()]
    for section in (("training",), ("source_stage", "training"), ("adaptation", "training")):
        problems += training_problems(content, section)
    if config is not None:
        problems += domain_problems(config)
    if problems or config is None:
        listing = "\n".join(f"  - {problem}" for problem in dict.fromkeys(problems))
        raise ConfigError(f"{where} has {len(set(problems))} problem(s):\n{listing}")
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


def _describe(problem: Any) -> str:
    """Word one pydantic error with the key's path and, for an unknown key, its nearest match."""
    path = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "unexpected_keyword_argument":
        return f"{path}: unknown key; {did_you_mean(str(problem['loc'][-1]), _keys_at(problem['loc'][:-1]))}"
    if problem["type"] in ("missing", "missing_argument"):
        return f"{path}: is missing"
    return f"{path}: {problem['msg'][0].lower()}{problem['msg'][1:]}, got {problem['input']!r}"


def _keys_at(location: Sequence[Any]) -> list[str]:
    """List the keys that the section at this path may have."""
    section = SECTIONS.get(".".join(map(str, location)), RecipeConfig)
    return [field.name for field in dataclasses.fields(section)]
