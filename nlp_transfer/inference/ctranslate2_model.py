"""A translation model that CTranslate2 computes, behind the same `Translator` as one of `transformers`.

Texts become ids and ids texts by the model's own tokenizer, as everywhere in this package; CTranslate2 gets
the token of each id, whose names are unique (`exporting/ctranslate2_export.py` sees to that).
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from nlp_transfer.errors import ModelError
from nlp_transfer.inference.devices import usable_cpus
from nlp_transfer.inference.translator import Translator, translator_of
from nlp_transfer.models.batching import batches_by_length
from nlp_transfer.models.generation import (
    BATCH_TOKENS,
    USUAL_TARGET_RATIO,
    token_limit,
    until,
)
from nlp_transfer.models.translation import load_tokens

MODEL = "ctranslate2"
VOCABULARY = "shared_vocabulary.json"
# Forces a prefix as `generate` does, at no cost and counted in the length that beams are compared by. Forced
# in the library's other way it does not count, and other beams win: of 60 translations by a small mBART 26.
FORCED = 0.9999999


class CTranslate2Model:
    """A converted model with the token of each id.

    Args:
        translator: a `ctranslate2.Translator`.
        config: that of the model which was converted.
        tokens: the name of each id.
    """

    def __init__(self, translator: Any, config: Any, tokens: Sequence[str]) -> None:
        self.translator = translator
        self.config = config
        self.tokens = list(tokens)
        self.ids = {token: number for number, token in enumerate(self.tokens)}

    def eval(self) -> CTranslate2Model:
        """Return itself: it cannot be trained."""
        return self


def generate(
    model: CTranslate2Model,
    sources: Sequence[Any],
    prefixes: Sequence[Sequence[int]],
    *,
    num_beams: int,
    most_tokens: int,
    ratio: float = USUAL_TARGET_RATIO,
    batch_tokens: int | None = None,
    label: str | None = None,
) -> list[list[int]]:
    """Translate encoded sources; see `models.generation.generate`, whose place this takes."""
    written: list[list[int]] = [[] for _ in sources]
    lengths = [len(source) for source in sources]
    limits = [token_limit(length, ratio=ratio, most=most_tokens) for length in lengths]
    # Some models write padding, and mean the end.
    ends = {model.config.pad_token_id}
    batches = list(batches_by_length(lengths, max(1, (batch_tokens or BATCH_TOKENS) // num_beams)))
    # All are handed over at once: each of the runtime's workers takes the next batch when it is free.
    running = [
        model.translator.translate_batch(
            [[model.tokens[number] for number in sources[row]] for row in rows],
            target_prefix=[[model.tokens[number] for number in prefixes[row]] for row in rows],
            beam_size=num_beams,
            prefix_bias_beta=FORCED if num_beams > 1 and len(prefixes[rows[0]]) else 0,
            max_input_length=0,
            max_decoding_length=max(limits[row] + len(prefixes[row]) for row in rows),
            asynchronous=True,
        )
        for rows in batches
    ]
    with tqdm(total=len(sources), desc=label, unit="row", file=sys.stderr, disable=label is None) as bar:
        for rows, results in zip(batches, running, strict=True):
            for row, result in zip(rows, results, strict=True):
                tokens = result.result().hypotheses[0][len(prefixes[row]) :]
                written[row] = until([model.ids[token] for token in tokens], ends)[: limits[row]]
            bar.update(len(rows))
    return written


def load_ctranslate2_translator(
    folder: Path, *, src_lang: str | None = None, tgt_lang: str | None = None
) -> Translator:
    """Open an exported translation model with the languages that it says it translates between.

    Raises:
        ModelError: the folder is not whole, or its languages are not known.
    """
    tokens = load_tokens(str(folder))
    try:
        names = json.loads((folder / MODEL / VOCABULARY).read_text(encoding="utf-8"))
        model = CTranslate2Model(_opened(folder / MODEL), tokens.model.config, names)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{folder} holds no whole CTranslate2 model ({reason}); export it again") from error
    loaded = dataclasses.replace(tokens, model=model)
    return translator_of(
        loaded, folder, name=str(folder), src_lang=src_lang, tgt_lang=tgt_lang, generate=generate
    )


def _opened(folder: Path) -> Any:
    """Open a converted model: one worker a core, each on its own batch, which is faster than many on one."""
    import ctranslate2
    import torch

    threads = torch.get_num_threads()
    try:
        return ctranslate2.Translator(str(folder), device="cpu", inter_threads=usable_cpus(), intra_threads=1)
    finally:
        # The library sets the calling thread's OpenMP, which is torch's too, to its own one thread.
        torch.set_num_threads(threads)
