"""The recipe class of each task; importing one imports nothing of the other."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nlp_transfer.recipe import TransferRecipe

_CLASS_OF = {
    "sentiment": ("nlp_transfer.sentiment", "SentimentTransfer"),
    "translation": ("nlp_transfer.translation", "TranslationTransfer"),
}


def recipe_class(task: str) -> type[TransferRecipe]:
    """Return the class that runs a task's recipes; the configuration has seen to it that there is one."""
    module, name = _CLASS_OF[task]
    found: type[TransferRecipe] = getattr(importlib.import_module(module), name)
    return found
