"""YAML 1.2 as it is read and written everywhere in the package."""

from __future__ import annotations

import io
from typing import Any

from nlp_transfer.errors import ConfigError


def yaml_reader() -> Any:
    """Build the YAML 1.2 reader: `5e-5` is a number and `no` a word, unlike in PyYAML."""
    from ruamel.yaml import YAML

    reader: Any = YAML(typ="safe", pure=True)
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


def read_yaml(text: str, *, where: str) -> Any:
    """Parse YAML 1.2 text; `where` names it in the error.

    Raises:
        ConfigError: the text is not YAML.
    """
    from ruamel.yaml.error import YAMLError

    try:
        return yaml_reader().load(text)
    except YAMLError as error:
        raise ConfigError(f"{where} is not valid YAML: {' '.join(str(error).split())}") from error


def write_yaml(value: Any) -> str:
    """Render plain values as YAML 1.2."""
    stream = io.StringIO()
    yaml_reader().dump(value, stream)
    return stream.getvalue()
