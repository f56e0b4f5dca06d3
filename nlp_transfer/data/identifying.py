"""Which language a text looks like, by py3langid: one model for all who ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from nlp_transfer.data.languages import identifier_code

# Shorter texts look like too many languages.
MIN_LETTERS = 20
# What a text's first, second and third likeliest language count for.
VOTES = (3, 2, 1)


@cache
def identifier() -> Any:
    """Load the model once; an own one, since the library's shared one can be narrowed by others."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def known_languages() -> frozenset[str]:
    """Return the languages that can be told, in the identifier's own codes."""
    return frozenset(identifier().labels)


def likeliest(text: str, allowed: Collection[str], *, most: int = 1) -> list[str]:
    """Return the likeliest of the allowed languages (the identifier's codes), the likeliest first."""
    ranked: list[tuple[str, float]] = identifier().rank(text)
    return [language for language, _ in ranked if language in allowed][:most]


def look_alikes(texts: Sequence[str], known: Sequence[str], *, most: int) -> list[str]:
    """Return which of these languages texts look like, the likest first.

    Args:
        texts: in a language that need not be one of them.
        known: codes to choose from, as a model spells them.
        most: codes to return.

    >>> look_alikes(["O gato dorme na cozinha da casa"], ["fra_Latn", "por_Latn", "jpn_Jpan"], most=1)
    ['por_Latn']
    """
    codes: dict[str, str] = {}
    for code in known:
        codes.setdefault(identifier_code(code), code)
    allowed = known_languages() & set(codes)
    votes: Counter[str] = Counter()
    for text in texts:
        if sum(map(str.isalpha, text)) >= MIN_LETTERS:
            for language, vote in zip(likeliest(text, allowed, most=len(VOTES)), VOTES, strict=False):
                votes[language] += vote
    return [codes[language] for language, _ in votes.most_common(most)]
