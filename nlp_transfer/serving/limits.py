"""What one client may ask of a server, and the refusals that tell it so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import HTTPException

OPTION = re.compile(r"--([a-z]+)-([a-z]+)")


@dataclass(frozen=True)
class Limits:
    """Sizes above which a request is refused.

    Attributes:
        body_bytes: a JSON body (413).
        file_bytes: a file (413).
        file_rows: rows of a file (422); they are counted before work begins.
        texts: texts of one request (422); more go as a file.
        text_characters: one text (422).
        queued_texts: texts that wait for one model (429).
        waiting_files: files that wait for their turn (429).
        kept_files: finished files whose results can be fetched; older ones are forgotten.
    """

    body_bytes: int = 4 * 2**20
    file_bytes: int = 32 * 2**20
    file_rows: int = 100_000
    texts: int = 256
    text_characters: int = 20_000
    queued_texts: int = 1024
    waiting_files: int = 8
    kept_files: int = 16


class Refused(HTTPException):
    """A request that is answered with `{"error": {"status", "code", "message"}}`.

    Args:
        status: HTTP status.
        code: one word for programs.
        message: what was expected, what came, what mends it.
        retry_after_seconds: when to ask again.
    """

    def __init__(
        self, status: int, code: str, message: str, *, retry_after_seconds: int | None = None
    ) -> None:
        headers = None if retry_after_seconds is None else {"Retry-After": str(retry_after_seconds)}
        super().__init__(status, detail=message, headers=headers)
        self.code = code


def as_parameters(message: str) -> str:
    """Name the API's parameters where a message of the package names the command's options.

    >>> as_parameters("set --text-column to one of the input's columns: a, b")
    "set text_column to one of the input's columns: a, b"
    """
    return OPTION.sub(r"\1_\2", message)


def require_size(size_bytes: int, limit_bytes: int, *, what: str) -> None:
    """Refuse what has more bytes than allowed.

    Raises:
        Refused: 413.
    """
    if size_bytes > limit_bytes:
        raise Refused(
            413,
            "too_large",
            f"the {what} has more than the {limit_bytes / 2**20:g} MiB that this server takes; "
            "divide it, or use `nlp-transfer predict` or `translate` on the machine itself",
        )


def require_texts(texts: Sequence[str], limits: Limits) -> None:
    """Refuse a request without texts, with too many, or with one that is too long.

    Raises:
        Refused: 422.
    """
    if not texts:
        raise Refused(422, "no_texts", 'there is no text; send {"texts": ["..."]}')
    if len(texts) > limits.texts:
        raise Refused(
            422,
            "too_many_texts",
            f"{len(texts):,} texts, at most {limits.texts:,} in one request; send a file to /api/files",
        )
    for number, text in enumerate(texts, start=1):
        require_length(text, limits, place=f"text {number}")


def require_length(text: str, limits: Limits, *, place: str) -> None:
    """Refuse a text that is too long; `place` says which one it is.

    Raises:
        Refused: 422.
    """
    if len(text) > limits.text_characters:
        raise Refused(
            422,
            "text_too_long",
            f"{place} has {len(text):,} characters, at most {limits.text_characters:,}; divide it",
        )
