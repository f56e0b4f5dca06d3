"""Markup and accelerator keys, taken out of a message so that its words remain.

Tags of HTML, Pango and the like go, on whichever side they stand: `<b>Save</b>` becomes `Save`. Arguments in
angle brackets (`<file>`) and placeholders stay. An accelerator is a mark before the letter that chooses a
menu entry (`_File`, `&File`, `~File`), or that letter in brackets behind the text (`ファイル(_F)`).
"""

from __future__ import annotations

import re

from nlp_transfer.data.placeholders import PLACEHOLDER

# Names that are markup without a closing tag or an attribute to show it; anything else may be an argument.
KNOWN_TAGS = (
    "a|abbr|b|big|blockquote|br|button|center|cite|code|dd|del|div|dl|dt|em|font|h[1-6]|hr|i|img|input|ins|kbd|li|"
    "ol|p|pre|q|s|samp|script|small|span|strike|strong|style|sub|sup|table|tbody|td|th|thead|tr|tt|u|ul|var"
)
TAG = re.compile(
    rf"<(?:/?(?:{KNOWN_TAGS})(?:\s[^<>]*)?/?|/\s*[A-Za-z][\w:.-]*\s*|[A-Za-z][\w:.-]*\s*/"
    r"|[A-Za-z][\w:.-]*(?:\s+[\w:.-]+\s*=\s*[\"'][^<>]*)+/?|!--.*?--)>",
    re.IGNORECASE | re.DOTALL,
)
CLOSING = re.compile(r"</\s*([A-Za-z][\w:.-]*)\s*>")
TRAILING_KEY = re.compile(r"\s*\([_&~]\w\)(?=\W*$)")
# A mark before a letter: at the start of a word it is an accelerator by itself, inside one only beside
# another. An entity such as &nbsp; and a doubled mark are none.
MARKS = {mark: re.compile(rf"(?<!{mark}){mark}(?=[^\W\d_])(?!\w+;)") for mark in "_&~"}


def strip_markup(text: str) -> str:
    """Take the tags out of a message.

    >>> strip_markup("Click <a href='x'>here</a> or run <guilabel>cp</guilabel> <file>")
    'Click here or run cp <file>'
    """
    if "<" not in text:
        return text
    for name in set(CLOSING.findall(text)):
        text = re.sub(rf"<{re.escape(name)}>", "", text)
    return TAG.sub("", text)


def strip_accelerators(source: str, target: str) -> tuple[str, str]:
    """Take the accelerator keys out of both sides of a pair, by one decision for both.

    A mark counts where a side has exactly one of its kind. At the start of a word it goes, on the source and
    with it on the target; inside a word (`E_xit`) only where both sides have one, begin with a capital and go
    on with a small letter, so that `file_name` and `R&D` stay.

    >>> strip_accelerators("E_xit", "_Saír")
    ('Exit', 'Saír')
    """
    source, target = TRAILING_KEY.sub("", source), TRAILING_KEY.sub("", target)
    for mark, pattern in MARKS.items():
        ours = _only(pattern, source) if mark in source else None
        if ours is None:
            continue
        theirs = _counterpart(target, mark)
        if _starts_word(source, ours):
            source = _without(source, ours)
            target = target if theirs is None else _without(target, theirs)
        elif theirs is not None and _is_label(source, ours) and _is_label(target, theirs):
            source, target = _without(source, ours), _without(target, theirs)
    return source, target


def _counterpart(target: str, mark: str) -> int | None:
    """Return where the target's one mark stands: the source's kind, or another at the start of a word."""
    place = _only(MARKS[mark], target)
    if place is not None:
        return place
    others = (_only(pattern, target) for other, pattern in MARKS.items() if other != mark)
    return next((place for place in others if place is not None and _starts_word(target, place)), None)


def _only(pattern: re.Pattern[str], text: str) -> int | None:
    """Return where the one mark of a text stands; None for no mark, for several, and inside a placeholder."""
    found = [match.start() for match in pattern.finditer(text)]
    if len(found) != 1 or text.count(text[found[0]]) > 1:
        return None
    inside = any(match.start() <= found[0] < match.end() for match in PLACEHOLDER.finditer(text))
    return None if inside else found[0]


def _starts_word(text: str, place: int) -> bool:
    return place == 0 or not (text[place - 1].isalnum() or text[place - 1] in "/.:@-")


def _is_label(text: str, place: int) -> bool:
    return (text[:1].isupper() and text[place + 1].islower()) or _starts_word(text, place)


def _without(text: str, place: int) -> str:
    return text[:place] + text[place + 1 :]
