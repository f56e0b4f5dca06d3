"""YAML 1.2 as it is read and written everywhere in the package.

Text from anybody is read within bounds: in its length, its nesting and what its aliases expand to. Beyond
them the library, or whoever walks through the values, takes minutes or all memory.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterable
from typing import Any

from nlp_transfer.errors import ConfigError

# What ships stays below 5,000 characters and eight levels. Half a million characters in short lines take the
# library 6 s; a table that is given for a recipe by mistake is longer.
MAX_CHARACTERS, MAX_DEPTH, MAX_VALUES = 500_000, 50, 100_000
# Python refuses to read and to write integers of more than 4,300 digits; nothing here counts so far.
MAX_INTEGER_CHARACTERS = 100
UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)


def yaml_reader() -> Any:
    """Build the YAML 1.2 reader: `5e-5` is a number, `no` and `2024-02-30` are words, unlike in PyYAML."""
    from ruamel.yaml import YAML

    reader: Any = YAML(typ="safe", pure=True)
    reader.Constructor = _constructor()
    reader.composer.warn_double_anchors = False
    reader.default_flow_style = False
    reader.sort_base_mapping_type_on_output = False
    reader.representer.add_representer(str, _represent_text)
    return reader


# YAML 1.1's line breaks beyond LF and CR: the library writes them as they are and reads them as blanks.
OTHER_LINE_BREAKS = frozenset("\x85\u2028\u2029")


def _represent_text(representer: Any, text: str) -> Any:
    """Have text with such a line break escaped, so that it is read back as it was."""
    style = '"' if OTHER_LINE_BREAKS & set(text) else None
    return representer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


@functools.cache
def _constructor() -> Any:
    """Make the class that makes values: dates stay words, and a value that cannot be made names its line."""
    from ruamel.yaml.constructor import ConstructorError, SafeConstructor

    class Constructor(SafeConstructor):  # type: ignore[misc]
        def construct_object(self, node: Any, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep=deep)
            except UNREADABLE as error:
                kind = str(node.tag).rpartition(":")[2]
                problem = f"{str(node.value)[:40]!r} cannot be read as {kind}"
                raise ConstructorError(None, None, problem, node.start_mark) from error

        def construct_yaml_int(self, node: Any) -> int:
            if len(node.value) > MAX_INTEGER_CHARACTERS:
                raise ValueError(f"an integer of {len(node.value)} characters")
            return int(super().construct_yaml_int(node))

    for kind, make in (
        ("int", Constructor.construct_yaml_int),
        ("timestamp", Constructor.construct_yaml_str),
    ):
        Constructor.add_constructor(f"tag:yaml.org,2002:{kind}", make)
    return Constructor


def read_yaml(text: str, *, where: str) -> Any:
    """Parse YAML 1.2 text; `where` names it in the error.

    Raises:
        ConfigError: the text is not YAML, or beyond the bounds at this module's head.
    """
    from ruamel.yaml.error import YAMLError

    if len(text) > MAX_CHARACTERS:
        raise ConfigError(
            f"{where} has {len(text):,} characters, and at most {MAX_CHARACTERS:,} are read as YAML; is it "
            "the right file?"
        )
    try:
        if beyond := _beyond_bounds(yaml_reader().parse(text)):
            raise ConfigError(f"{where} {beyond}")
        return yaml_reader().load(text)
    except (YAMLError, RecursionError, *UNREADABLE) as error:
        raise ConfigError(f"{where} is not valid YAML: {' '.join(str(error).split())}") from error


def _beyond_bounds(events: Iterable[Any]) -> str | None:
    """Say what is beyond the bounds in a stream of parsed events, before any value is made out of them."""
    from ruamel.yaml import events as kinds

    # Of each collection that is open, the file's own first: its anchor, and how many values it has so far.
    anchors: list[str | None] = [None]
    sizes = [0]
    size_of: dict[str, int] = {}
    for event in events:
        if isinstance(event, kinds.CollectionStartEvent):
            anchors.append(event.anchor)
            sizes.append(1)
            if len(sizes) > MAX_DEPTH:
                return f"nests more than {MAX_DEPTH} levels (line {event.start_mark.line + 1})"
            continue
        if isinstance(event, kinds.CollectionEndEvent):
            anchor, size = anchors.pop(), sizes.pop()
        elif isinstance(event, kinds.AliasEvent):
            if event.anchor in anchors:
                return f"has an alias *{event.anchor} inside what it stands for"
            anchor, size = None, size_of.get(event.anchor, 1)
        elif isinstance(event, kinds.ScalarEvent):
            anchor, size = event.anchor, 1
        else:
            continue
        if anchor is not None:
            size_of[anchor] = size
        sizes[-1] += size
        if sizes[-1] > MAX_VALUES:
            return f"has more than {MAX_VALUES:,} values, those that its aliases stand for included"
    return None


def write_yaml(value: Any) -> str:
    """Render plain values as YAML 1.2."""
    stream = io.StringIO()
    yaml_reader().dump(value, stream)
    return stream.getvalue()
