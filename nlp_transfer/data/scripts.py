"""Writing systems: which ones a language is written in, and how much of a text stands in them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from nlp_transfer.data.languages import full_tag, normal_tag

# What ISO 15924 counts as one script and Unicode as several.
UNICODE_SCRIPTS = {
    "Hans": ("Hani", "Bopo"), "Hant": ("Hani", "Bopo"), "Jpan": ("Hani", "Hira", "Kana"),
    "Kore": ("Hang", "Hani"), "Aran": ("Arab",),
}  # fmt: skip
# Languages written in more than one script, where the tag does not say which.
ALSO_WRITTEN = {
    "sr": "Latn", "bs": "Cyrl", "uz": "Cyrl", "az": "Cyrl", "kk": "Latn", "tt": "Latn",
    "tk": "Cyrl", "ku": "Arab", "pa": "Arab", "ms": "Arab", "mn": "Mong", "ha": "Arab", "ug": "Latn",
    "sd": "Deva", "ks": "Deva", "crh": "Cyrl", "be": "Latn", "iu": "Latn", "tg": "Latn",
}  # fmt: skip
LETTER_OF_ASCII = re.compile(r"[A-Za-z]")


def scripts_of(code: str) -> tuple[str, ...]:
    """List the Unicode scripts of a language, by their codes; empty where they are not known.

    >>> scripts_of("gl"), scripts_of("ja"), scripts_of("sr-Latn")
    (('Latn',), ('Hani', 'Hira', 'Kana'), ('Latn',))
    """
    language, script, _ = full_tag(code)
    if not script:
        return ()
    stated = any(part.title() == script for part in normal_tag(code).split("-")[1:])
    also = () if stated or language not in ALSO_WRITTEN else (ALSO_WRITTEN[language],)
    return (*UNICODE_SCRIPTS.get(script, (script,)), *also)


def has_letters(text: str) -> bool:
    """Tell whether anything in a text is a letter."""
    return any(map(str.isalpha, text))


def share_in(text: str, scripts: tuple[str, ...]) -> float:
    """Return the share of a text's letters that stand in the given scripts; 1 for a text without letters.

    >>> share_in("Файл PDF", ("Cyrl",))
    0.5714285714285714
    """
    if text.isascii():
        return 1.0 if "Latn" in scripts or LETTER_OF_ASCII.search(text) is None else 0.0
    letters = sum(map(str.isalpha, text))
    return len(_letters_in(scripts).findall(text)) / letters if letters else 1.0


@lru_cache(maxsize=64)
def _letters_in(scripts: tuple[str, ...]) -> Any:
    import regex

    # Letters that several scripts share (º, the Japanese ー) count as any script's.
    names = "".join(rf"\p{{Script={name}}}" for name in (*scripts, "Common", "Inherited"))
    return regex.compile(rf"[\p{{L}}&&[{names}]]", regex.V1)
