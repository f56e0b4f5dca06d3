"""Adapt a pretrained language model to a domain or a language, and measure whether it helped.

The public names are imported when they are first used, so that `import nlp_transfer` costs almost nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from nlp_transfer.data.cards import list_cards, load_card
    from nlp_transfer.inference.load import load_adapted
    from nlp_transfer.sentiment import SentimentTransfer
    from nlp_transfer.translation import TranslationTransfer

_HOME_OF = {
    "SentimentTransfer": "nlp_transfer.sentiment",
    "TranslationTransfer": "nlp_transfer.translation",
    "load_adapted": "nlp_transfer.inference.load",
    "load_card": "nlp_transfer.data.cards",
    "list_cards": "nlp_transfer.data.cards",
}
__all__ = ["SentimentTransfer", "TranslationTransfer", "list_cards", "load_adapted", "load_card"]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
