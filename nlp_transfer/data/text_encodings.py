"""Text encodings: what a file is opened with, and what to do with one that is written in another.

Where the rows come from is left to tables.py.
"""

from __future__ import annotations

import codecs
import shlex
from pathlib import PurePath

from nlp_transfer.errors import DataError

BOMS_OF_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Of every other byte, those that are 0 in UTF-16: nearly all in English, about half where accents are many.
MIN_ZEROS_OF_UTF16 = 0.4
LOOKED_AT_BYTES = 4096


def text_encoding(encoding: str, name: str) -> str:
    """Return what to open a file with; a byte-order mark of UTF-8 is skipped.

    Raises:
        DataError: there is no such encoding, or it makes no text out of bytes, as base64 and zip do not.
    """
    try:
        found = codecs.lookup(encoding).name
        "".encode(found)
    except (LookupError, ValueError) as error:
        raise DataError(f"{name}: there is no text encoding {encoding!r}") from error
    return "utf-8-sig" if found == "utf-8" else found


def encoding_advice(content: bytes, name: str, *, in_recipe: bool) -> str | None:
    """Say how a file in another encoding can be read; None where it looks like no text at all.

    Args:
        content: bytes of the file.
        name: the file's name.
        in_recipe: a recipe can say the encoding; without one the file has to be written anew.
    """
    import charset_normalizer

    if content.startswith(BOMS_OF_UTF16):
        return _mend("utf-16", name, "", in_recipe=in_recipe)
    if b"\0" in content[:LOOKED_AT_BYTES]:
        found = utf16_without_mark(content)
        doubt = "it looks like UTF-16 without a byte-order mark"
        return None if found is None else _mend(found, name, doubt, in_recipe=in_recipe)
    matches = charset_normalizer.from_bytes(content[:65536])
    best = matches.best()
    if best is None:
        return "set encoding to the one it was written in" if in_recipe else "save it as UTF-8"
    # Among equally good guesses the library names the alphabetically first; most such files are cp1252.
    equal = [match for match in matches if (match.chaos, match.coherence) == (best.chaos, best.coherence)]
    common = any("cp1252" in match.could_be_from_charset for match in equal)
    guess = "cp1252" if common else best.encoding
    return _mend(guess, name, "a guess: look at the texts", in_recipe=in_recipe)


def utf16_without_mark(content: bytes) -> str | None:
    """Tell which UTF-16 bytes look like: those of Latin text are 0 at every other place.

    >>> utf16_without_mark("text,label".encode("utf-16-be")), utf16_without_mark(b"PK\\3\\4\\0\\0\\0")
    ('utf-16be', None)
    """
    half = min(LOOKED_AT_BYTES, len(content)) // 2
    looked_at = content[: 2 * half]
    for encoding, zeros, others in (
        ("utf-16le", looked_at[1::2], looked_at[::2]), ("utf-16be", looked_at[::2], looked_at[1::2]),
    ):  # fmt: skip
        if half and zeros.count(0) >= MIN_ZEROS_OF_UTF16 * half and 0 not in others:
            letters = looked_at.decode(encoding, "ignore")
            return encoding if all(letter.isprintable() or letter.isspace() for letter in letters) else None
    return None


def _mend(encoding: str, name: str, doubt: str, *, in_recipe: bool) -> str:
    if in_recipe:
        return f"set encoding: {encoding} in the recipe{f' ({doubt})' if doubt else ''}, or save it as UTF-8"
    advice = f"save it as UTF-8{f' ({doubt})' if doubt else ''}"
    if "!" in name or name.lower().endswith(".gz"):
        return advice
    copy = shlex.quote(f"utf8_{PurePath(name).name}")
    return (
        f"{advice}, for example: iconv -f {encoding.replace('_', '-')} -t UTF-8 {shlex.quote(name)} > {copy}"
    )
