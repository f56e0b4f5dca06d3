"""Predicts with both tasks' models in the processes that accelerate started; started by
test_shared_predictions.py.

`python -m predicting FOLDER CLASSIFIER TRANSLATOR` has each process write what it got for each number of
rows, and how many rows it computed itself.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tiny
import tiny_translation

# One that two processes do not divide, fewer than processes, none, and more than one batch.
COUNTS = (37, 1, 0, 150)


def pairs(count: int) -> Any:
    """Return pairs of two directions, in turn: each direction is translated by itself."""
    import dataclasses

    directions = [("en", ("es", "pt")[row % 2]) for row in range(count)]
    return dataclasses.replace(tiny_translation.easy_pairs(count, seed=5), directions=directions)


def predicted(classifier: str, translator: str) -> dict[str, Any]:
    """Return for each task and number of rows what came out, and how many rows this process computed."""
    from nlp_transfer.inference.load import load_adapted
    from nlp_transfer.training.sharing import scored_in_shares
    from nlp_transfer.translation_systems import translate_in_shares

    own: list[int] = []

    def counted(work: Callable[..., Any]) -> Callable[..., Any]:
        def count_and_work(texts: list[str], **named: Any) -> Any:
            own.append(len(texts))
            return work(texts, **named)

        return count_and_work

    score = counted(load_adapted(classifier).logits)
    model = load_adapted(translator, src_lang="en", tgt_lang="es")
    model.translate = counted(model.translate)
    found: dict[str, Any] = {}
    for count in COUNTS:
        texts = [text for text, _ in tiny.sentences("products", count, seed=3)]
        logits = scored_in_shares(texts, score, classes=len(tiny.LABELS))
        found[f"sentiment {count}"] = {"result": logits.tolist(), "own": sum(own)}
        own.clear()
        written = translate_in_shares(model, pairs(count), label="translate")
        found[f"translation {count}"] = {"result": written, "own": sum(own)}
        own.clear()
    return found


def error_of_one() -> str:
    """Have the second process fail alone; return what this one is told."""
    from nlp_transfer.errors import ModelError
    from nlp_transfer.training.processes import is_main
    from nlp_transfer.training.sharing import computed_in_shares

    def fails(rows: list[int]) -> int:
        if not is_main():
            raise ModelError("no memory left here")
        return len(rows)

    try:
        computed_in_shares([1, 2, 3], fails)
    except ModelError as error:
        return str(error)
    return ""


def main() -> None:
    folder, models = Path(sys.argv[1]), sys.argv[2:]
    found = {"predicted": predicted(*models), "error": error_of_one()}
    (folder / f"{os.environ['RANK']}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
