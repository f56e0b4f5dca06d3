"""The keys of a recipe written out for people: type, default and meaning of each, from keys.py."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from nlp_transfer.config.keys import SECTIONS
from nlp_transfer.errors import ConfigError, did_you_mean

NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false", types.NoneType: "null"}
BOUNDS = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}"}


def config_reference(section: str | None = None) -> str:
    """Write every key of a recipe as Markdown: its type, its default, and what it is.

    Args:
        section: as the YAML has it (`data.target`); None writes all.

    Raises:
        ConfigError: there is no such section.
    """
    chosen = {place: keys for place, keys in SECTIONS.items() if section in (None, place)}
    if not chosen:
        known = [place for place in SECTIONS if place]
        raise ConfigError(f"a recipe has no section {section!r}; {did_you_mean(str(section), known)}")
    titles: dict[type, list[str]] = {}
    for place, keys in chosen.items():  # both domains have the same keys
        titles.setdefault(keys, []).append(f"`{place}`" if place else "the recipe")
    return "\n\n".join(_section(" and ".join(names), keys) for keys, names in titles.items())


def _section(title: str, section: type) -> str:
    heading = f"## {title}"
    return "\n\n".join([heading, str(section.__doc__), "\n".join(_key(*each) for each in keys_of(section))])


def keys_of(section: type) -> list[tuple[str, Any, Any]]:
    """Return name, type and pydantic's field of each key."""
    hints = get_type_hints(section, include_extras=True)
    known: dict[str, Any] = section.__pydantic_fields__  # type: ignore[attr-defined]
    return [(name, hints[name], field) for name, field in known.items()]


def _key(name: str, hint: Any, field: Any) -> str:
    said = "; ".join([", ".join([type_words(hint), *_bounds(field)]), _default(field)])
    description = " ".join((field.description or _class_words(hint)).split())
    return f"- **`{name}`** ({said}). {description}"


def _bounds(field: Any) -> list[str]:
    return [
        words.format(getattr(limit, bound))
        for limit in field.metadata
        for bound, words in BOUNDS.items()
        if hasattr(limit, bound)
    ]


def _class_words(hint: Any) -> str:
    """Say what a section is that has no words of its own."""
    return str(hint.__doc__) if dataclasses.is_dataclass(hint) else ""


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    # What is not in the field itself: reading.py fills it in.
    if field.json_schema_extra is not None:
        return f"default: {field.json_schema_extra['left_out']}"
    value = field.get_default(call_default_factory=True, validated_data={})
    if dataclasses.is_dataclass(value):
        return "default: all its own defaults"
    return f"default: `{_as_yaml(value)}`"


def _as_yaml(value: Any) -> str:
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def kinds_at(location: Sequence[Any]) -> tuple[str, Any] | None:
    """Return path and type of the key at or above a place that takes values of several kinds, null aside.

    >>> kinds_at(("adaptation", "rank", "x")), kinds_at(("data", "target", "path", "str"))[0]
    (None, 'data.target.path')
    """
    for depth, name in enumerate(location):
        section = SECTIONS.get(".".join(map(str, location[:depth])))
        hint = {key: of for key, of, _ in keys_of(section)}.get(name) if section else None
        kinds = set(get_args(hint)) - {types.NoneType}
        if get_origin(hint) in (Union, types.UnionType) and len(kinds) > 1:
            return ".".join(map(str, location[: depth + 1])), hint
    return None


def type_words(hint: Any) -> str:
    """Write a type for a person who writes YAML.

    >>> type_words(int | None), type_words(list[str]), type_words(Literal["full", "lora"])
    ('whole number or null', 'list of text', '`full` or `lora`')
    """
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return " ".join([type_words(parts[0]), " and ".join(_bounds(parts[1]))])
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_words(part) for part in parts))
    if origin in (list, tuple, dict):
        return _container_words(origin, parts)
    return NAMES.get(hint, "section")


def _container_words(origin: Any, parts: Sequence[Any]) -> str:
    if origin is list:
        return f"list of {type_words(parts[0])}"
    if origin is tuple:
        return f"[{', '.join(type_words(part) for part in parts)}]"
    return "section of " + (
        "names and values" if parts[1] is Any else f"{type_words(parts[0])}: {type_words(parts[1])}"
    )
