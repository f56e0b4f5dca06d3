"""How gettext writes texts in .po files: quotes, escapes, and lines of at most its page's width."""

from __future__ import annotations

import re
import textwrap

ESCAPED = re.compile(r"\\([0-7]{1,3}|x[0-9a-fA-F]{1,2}|.)")
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
TO_ESCAPED = str.maketrans(
    {"\\": "\\\\", '"': '\\"', **{character: f"\\{letter}" for letter, character in ESCAPES.items()}}
)
# gettext's own width.
PAGE_WIDTH = 79


def written(keyword: str, text: str) -> list[str]:
    """Write a keyword with a text as gettext does: on one line where it fits, else a line for each line.

    >>> written("msgstr", 'a "b"\\nc')
    ['msgstr ""', '"a \\\\"b\\\\"\\\\n"', '"c"']
    """
    pieces = [line.translate(TO_ESCAPED) for line in re.findall("[^\n]*\n|[^\n]+", text)]
    if len(pieces) <= 1 and len(keyword) + 3 + sum(map(len, pieces)) <= PAGE_WIDTH:
        return [f'{keyword} "{"".join(pieces)}"']
    wrapped = [part for piece in pieces for part in _wrapped(piece)]
    return [f'{keyword} ""', *(f'"{part}"' for part in wrapped)]


def _wrapped(piece: str) -> list[str]:
    return textwrap.wrap(
        piece,
        PAGE_WIDTH - 2,
        expand_tabs=False,
        replace_whitespace=False,
        drop_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )


def unescaped(text: str) -> str:
    """Read what stands between two quotes."""
    return ESCAPED.sub(lambda found: _character(found.group(1)), text)


def _character(escape: str) -> str:
    if escape[0] in "01234567":
        return chr(int(escape, 8))
    if escape[0] == "x" and len(escape) > 1:
        return chr(int(escape[1:], 16))
    return ESCAPES.get(escape, escape)
