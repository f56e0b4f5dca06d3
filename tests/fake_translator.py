"""A translation model for tests: it counts words as tokens, and quotes what it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nlp_transfer.errors import DataError


class FakeTranslator:
    """Answers `text` with `«text»` unless told otherwise, and remembers what it was asked."""

    def __init__(
        self,
        answer: Callable[[str], str] = "«{}»".format,
        *,
        max_length_tokens: int = 64,
        src_lang: str = "en",
        tgt_lang: str = "gl",
    ) -> None:
        self.answer = answer
        self.max_length_tokens = max_length_tokens
        self.src_lang = src_lang
        self.tgt_lang = tgt_lang
        self.asked: list[str] = []
        self.settings: list[tuple[str | None, int | None, str | None]] = []

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) + 1 for text in texts]

    def translate(
        self,
        texts: Sequence[str],
        *,
        tgt_lang: str | None = None,
        num_beams: int | None = None,
        label: str | None = None,
    ) -> list[str]:
        self.settings.append((tgt_lang, num_beams, label))
        self.asked += texts
        for text, tokens in zip(texts, self.count_tokens(texts), strict=True):
            if tokens > self.max_length_tokens:
                raise DataError(f"too long: {text[:20]}")
            assert text.strip() == text != ""
        return [self.answer(text) for text in texts]
