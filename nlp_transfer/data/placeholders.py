"""Placeholders in software text: what a program fills in, and a translation must not lose."""

from __future__ import annotations

import re

# printf's %s, %1$s, %-5.2f; Python's %(name)s; braces {0}, {name}, {count:d}; shell's and templates' ${name}.
_PLACEHOLDER = re.compile(
    r"%%|%\([^()\s]+\)[#0\- +]*\d*(?:\.\d+)?[a-zA-Z]|%(?:\d+\$)?[#0\-+]*(?:\d+|\*)?(?:\.(?:\d+|\*))?"
    r"(?:hh|h|ll|l|q|j|z|t|L)?[diouxXeEfFgGcrsapn@](?![a-zA-Z])|\$\{[^{}\s]*\}|\{[\w.!:,%\[\]-]*\}"
)


def placeholders(text: str) -> list[str]:
    """Return the placeholders of a text in their order; `%%` is a percent sign and none.

    >>> placeholders("%(user)s copied %d of {total} (100%%)")
    ['%(user)s', '%d', '{total}']
    """
    return [found for found in _PLACEHOLDER.findall(text) if found != "%%"]


def without_placeholders(text: str) -> str:
    """Return a text with a space in each placeholder's place."""
    return _PLACEHOLDER.sub(" ", text)
