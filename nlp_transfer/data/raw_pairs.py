"""One pair of texts as a file gives it, and the one error that a collection of files may survive."""

from __future__ import annotations

from dataclasses import dataclass

from nlp_transfer.errors import DataError


@dataclass(frozen=True)
class RawPair:
    """A text and its translation, before any cleaning."""

    source: str
    target: str
    origin: str = ""
    """The file or member that it came from, with its line or unit, for messages."""
    context: str = ""
    """What tells equal sources apart, such as gettext's msgctxt."""


class OtherLanguageError(DataError):
    """A source is sound, but holds other languages than the wanted one.

    Of one file this is the user's mistake; of one file among many it is what was to be expected.
    """
