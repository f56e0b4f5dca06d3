"""Which paths of a folder or an archive match a pattern and are of the wanted language: work on names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath

from nlp_transfer.data.languages import looks_like_locale, normal_tag, spellings

PIECE = re.compile(r"(\*\*/|\*\*|\*|\?|\{tgt_lang\})")
TRANSLATED = {"**/": r"(?:[^/]+/)*", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}
LANGUAGE = r"[A-Za-z]{2,8}(?:[-_@][A-Za-z0-9]+)*"
NEUTRAL, WANTED, OTHER = "neutral", "wanted", "other"


@dataclass
class Choice:
    """What was chosen: paths, each with whether its name assures the language, and what was passed over."""

    paths: dict[str, bool] = field(default_factory=dict)
    spelled: set[str] = field(default_factory=set)
    """How the chosen paths spell the language."""
    others: set[str] = field(default_factory=set)
    """Languages of the matching paths that were not chosen."""
    matched: int = 0
    """Paths that match the pattern, of whatever language."""


def choose(names: Iterable[str], pattern: str, *, src_lang: str, tgt_lang: str) -> Choice:
    """Choose the paths of one language: the best spelling in each place, a .po rather than its own .mo.

    >>> paths = ["a/pt/x.po", "a/pt_PT/x.po", "a/pt_BR/x.po"]
    >>> list(choose(paths, "**/*.po", src_lang="en", tgt_lang="pt").paths)
    ['a/pt/x.po']
    """
    expression = pattern_expression(pattern)
    ranks = {tag: rank for rank, tag in enumerate(spellings(tgt_lang))}
    find = (
        find_by_placeholder
        if "{tgt_lang}" in pattern
        else partial(find_by_path, src_lang=src_lang, ranks=ranks)
    )
    choice = Choice()
    best: dict[str, tuple[int, str, str]] = {}
    for name in names:
        match = expression.fullmatch(name)
        if match is None:
            continue
        choice.matched += 1
        place, spelled = find(match)
        rank = ranks.get(normal_tag(spelled)) if spelled else None
        if spelled is None:
            choice.paths[name] = False
        elif rank is None:
            choice.others.add(spelled)
        else:
            best[place] = min(best.get(place, (rank, name, spelled)), (rank, name, spelled))
    choice.paths.update((name, True) for _, name, _ in best.values())
    choice.spelled.update(spelled for _, _, spelled in best.values())
    compiled = {name for name in choice.paths if name.endswith(".mo") and f"{name[:-3]}.po" in choice.paths}
    choice.paths = {name: assured for name, assured in choice.paths.items() if name not in compiled}
    return choice


def pattern_expression(pattern: str) -> re.Pattern[str]:
    """Turn a pattern into a regular expression; the group `lang` stands where `{tgt_lang}` does."""
    parts: list[str] = []
    for piece in PIECE.split(pattern):
        if piece == "{tgt_lang}":
            parts.append(
                "(?P=lang)" if any("(?P<lang>" in part for part in parts) else f"(?P<lang>{LANGUAGE})"
            )
        else:
            parts.append(TRANSLATED.get(piece, re.escape(piece)))
    return re.compile("".join(parts))


def find_by_placeholder(match: re.Match[str]) -> tuple[str, str | None]:
    """Return the place of a path, which is the path without its language, and how it spells the language."""
    spelled = match["lang"]
    return match.string[: match.start("lang")] + "\0" + match.string[match.end("lang") :].replace(
        spelled, "\0"
    ), spelled


def find_by_path(match: re.Match[str], *, src_lang: str, ranks: dict[str, int]) -> tuple[str, str | None]:
    """Return the place of a path and how it spells the language; None where it names none.

    The folder above LC_MESSAGES is the language. Else the nearest part that spells the wanted language is,
    and without one the nearest part that is a language code, which then is another one.
    """
    path = PurePosixPath(match.string)
    parts = list(path.parts)
    if "LC_MESSAGES" in parts[1:]:
        index = parts.index("LC_MESSAGES", 1) - 1
        return "/".join([*parts[:index], "\0", *parts[index + 1 :]]), parts[index]
    stem = path.name.partition(".")[0] if "." in path.name else path.name
    candidates = [(len(parts) - 1, spelled) for spelled in _in_file_name(path.name, stem, src_lang)]
    candidates += [(index, parts[index]) for index in range(len(parts) - 2, -1, -1)]
    for index, spelled in candidates:
        if normal_tag(spelled) in ranks:
            replaced = parts[index].replace(spelled, "\0", 1)
            return "/".join([*parts[:index], replaced, *parts[index + 1 :]]), spelled
    named = [spelled for _, spelled in candidates if looks_like_locale(spelled)]
    named = [spelled for spelled in named if normal_tag(spelled) not in spellings(src_lang)]
    return match.string, named[0] if named else None


def _in_file_name(name: str, stem: str, src_lang: str) -> list[str]:
    """List what may be a language in a file's name: the gl of `en-gl.train`, of `app.gl`, of `django-gl`."""
    pair = re.fullmatch(
        rf"(?:.*[.\-_])?(?:{re.escape(src_lang)}[-_]({LANGUAGE})|({LANGUAGE})[-_]{re.escape(src_lang)})", stem
    )
    if pair is not None:
        return [pair[1] or pair[2]]
    if looks_like_locale(stem):
        return [stem]
    pieces = []
    for part in name.split(".")[:-1]:
        pieces += [part, *part.split("-"), *part.split("_", 1)[1:]]
    return list(dict.fromkeys(reversed(pieces)))
