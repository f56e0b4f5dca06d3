"""Saves translation models so that what comes back is what was trained: reloaded, and compared, before it
counts.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import torch

from nlp_transfer.data.pairs import Pairs
from nlp_transfer.errors import RunError
from nlp_transfer.inference.translator import Translator
from nlp_transfer.models.families import CodeFamily
from nlp_transfer.models.loading import quiet_library
from nlp_transfer.models.translation import LoadedTranslator, Use, describe, load_translator
from nlp_transfer.publishing.save import (
    MAX_LOGIT_DIFFERENCE,
    computing_in_float64,
    not_of_the_model,
    require_replaceable,
)
from nlp_transfer.whole_files import whole_folder

logger = logging.getLogger(__name__)
# The first step's logits of each pair, None without pairs, and the greedy translations.
Outputs = tuple[torch.Tensor | None, list[str]]


def save_translator(loaded: LoadedTranslator, folder: Path, *, use: Use, pairs: Pairs) -> None:
    """Write a full translation model, reload it, and require the same logits and greedy translations.

    Args:
        loaded: a plain `transformers` model with its tokenizer.
        folder: is replaced whole, or not at all.
        use: is written beside the model.
        pairs: a sample to compare on.

    Raises:
        RunError: the reloaded model scores or translates differently.
    """
    model, tokenizer = loaded.model, loaded.tokenizer
    tokenizer.model_max_length = use.max_length_tokens
    # The Trainer switches it off; without it a translation of n tokens takes n squared steps.
    model.config.use_cache = True
    _set_default_language(loaded, use)
    before = _outputs(loaded, use, pairs)
    with whole_folder(folder) as part, quiet_library():
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
        describe(part, use)
        _require_same(part, use, pairs, loaded, before)


def copy_translator(source: Path, folder: Path, *, use: Use, pairs: Pairs) -> Path:
    """Copy a saved model to another folder, reload it there, and require the same outputs.

    Raises:
        ConfigError: the folder is a file, or holds something else than an older copy.
        RunError: the copy scores or translates differently.
    """
    require_replaceable(folder)
    original = load_translator(str(source))
    before = _outputs(original, use, pairs)
    with whole_folder(folder) as part:
        shutil.copytree(source, part, dirs_exist_ok=True, ignore=not_of_the_model)
        _require_same(part, use, pairs, original, before)
    logger.info("saved to %s: reloaded, and equal on %d pairs", folder, len(pairs))
    return folder


def _set_default_language(loaded: LoadedTranslator, use: Use) -> None:
    """Have plain `generate` write the target language where the decoder is told it by a token."""
    src_lang, tgt_lang = use.directions[0]
    family, source, target = loaded.family, loaded.src_lang(src_lang), loaded.tgt_lang(tgt_lang)
    if isinstance(family, CodeFamily):
        loaded.model.generation_config.forced_bos_token_id = family.decoder_prefix(target)[0]
        if family.tokenizer_reads(source):
            loaded.tokenizer.src_lang = source
        loaded.tokenizer.tgt_lang = target


def _outputs(loaded: LoadedTranslator, use: Use, pairs: Pairs) -> Outputs:
    """Return the first step's logits of each pair and the greedy translations."""
    if not len(pairs):
        return None, []
    loaded.model.eval().to("cpu")
    translator = Translator(
        loaded,
        directions=use.directions,
        max_length_tokens=use.max_length_tokens,
        target_ratio=use.target_ratio,
    )
    logits, written = [], []
    for source, (src_lang, tgt_lang) in zip(pairs.sources, pairs.directions, strict=True):
        written += translator.translate([source], src_lang=src_lang, tgt_lang=tgt_lang, num_beams=1)
        logits.append(_first_logits(loaded, source, src_lang, tgt_lang))
    return torch.stack(logits), written


@torch.inference_mode()
def _first_logits(loaded: LoadedTranslator, source: str, src_lang: str, tgt_lang: str) -> Any:
    code = loaded.tgt_lang(tgt_lang)
    ids = loaded.family.encode_sources([source], src_lang=loaded.src_lang(src_lang), tgt_lang=code)[0]
    start = [loaded.model.config.decoder_start_token_id, *loaded.family.decoder_prefix(code)]
    return loaded.model(
        input_ids=torch.as_tensor([ids.tolist()]), decoder_input_ids=torch.as_tensor([start])
    ).logits[0, -1]


def _require_same(folder: Path, use: Use, pairs: Pairs, original: LoadedTranslator, before: Outputs) -> None:
    again = load_translator(str(folder))
    if _difference(before, _outputs(again, use, pairs)) is None:
        return
    with computing_in_float64(original.model), computing_in_float64(again.model):
        difference = _difference(_outputs(original, use, pairs), _outputs(again, use, pairs))
    if difference is not None:
        raise RunError(f"the saved model is not the trained one: {difference}; nothing was saved")


def _difference(before: Outputs, after: Outputs) -> str | None:
    """Say in what two models' outputs differ by more than is allowed, None where they are the same."""
    if before[0] is None or after[0] is None:
        return None
    rows, difference = len(before[1]), float((after[0] - before[0]).abs().max())
    if not difference <= MAX_LOGIT_DIFFERENCE:
        allowed = f"at most {MAX_LOGIT_DIFFERENCE:g} is allowed"
        return f"its logits differ by {difference:.2g} on {rows} pairs ({allowed})"
    differing = sum(first != second for first, second in zip(before[1], after[1], strict=True))
    return f"{differing} of {rows} translations differ" if differing else None
