"""sacrebleu's metrics as this package sets them: chrF++, BLEU and TER, each with its signature.

The one place where their settings are chosen, so that a value, its resamples and its signature always belong
together (Post 2018, A Call for Clarity in Reporting BLEU Scores).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from nlp_transfer.data.texts import whole_characters
from nlp_transfer.errors import DataError

logger = logging.getLogger(__name__)
# Words of two: chrF++ agrees best with human judgement (Popović 2017).
CHRF_WORD_ORDER = 2
# Language codes come as zh, zh_CN or, from NLLB, zho_Hans; these are the three-letter ones that matter here.
SHORT_CODES = {
    "zho": "zh", "cmn": "zh", "yue": "zh", "wuu": "zh", "jpn": "ja", "kor": "ko", "tha": "th", "lao": "lo",
    "khm": "km", "mya": "my", "bod": "bo", "dzo": "dz",
}  # fmt: skip
# sacrebleu's own choices by target language.
TOKENIZERS = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}
# Written without spaces, and not known to sacrebleu's 13a: a sentence would be one word. Its documentation
# has `flores200` for them, which is downloaded, and `char`, which is not.
WITHOUT_SPACES = ("th", "lo", "km", "my", "bo", "dz")


def sacrebleu_metric(name: str, *, tgt_lang: str | None = None) -> Any:
    """Build one of sacrebleu's metrics.

    Args:
        name: `chrf++`, `bleu` or `ter`.
        tgt_lang: language of the translations; decides BLEU's tokenisation.
    """
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    makers: dict[str, Callable[[], Any]] = {
        "chrf++": lambda: CHRF(word_order=CHRF_WORD_ORDER),
        "bleu": lambda: _bleu(tokenizer_of(tgt_lang)),
        "ter": TER,
    }
    return makers[name]()


def tokenizer_of(tgt_lang: str | None) -> str:
    """Name the tokenisation of BLEU for a target language; `13a` where nothing speaks for another.

    >>> [tokenizer_of(code) for code in ("gl", "zh_CN", "zho_Hans", "tha_Thai", None)]
    ['13a', 'zh', 'zh', 'char', '13a']
    """
    code = re.split("[-_@]", (tgt_lang or "").lower())[0]
    short = SHORT_CODES.get(code, code)
    return TOKENIZERS.get(short, "char" if short in WITHOUT_SPACES else "13a")


def _bleu(tokenizer: str) -> Any:
    """Build BLEU; where the words of Japanese or Korean cannot be found, over characters."""
    from sacrebleu.metrics.bleu import BLEU

    try:
        # force: text that ends in " ." is scored as it is, without a warning for each system.
        return BLEU(tokenize=tokenizer, force=True)
    except RuntimeError:
        _say_what_is_missing(tokenizer)
        return BLEU(tokenize="char", force=True)


@cache
def _say_what_is_missing(tokenizer: str) -> None:
    """Warn once that BLEU is over characters."""
    extra = tokenizer.partition("-")[0]
    logger.warning(
        "BLEU is counted over characters, as its signature says: for the usual words of %s install "
        '"sacrebleu[%s]"',
        extra,
        extra,
    )


def score_and_signature(
    name: str, hypotheses: Sequence[str], references: Sequence[str], *, tgt_lang: str | None = None
) -> dict[str, Any]:
    """Score a corpus as sacrebleu does; what the bundled `evaluate` modules return.

    Returns:
        `score` on sacrebleu's scale of 0 to 100 (TER may exceed it), and its `signature`.
    """
    metric = sacrebleu_metric(name, tgt_lang=tgt_lang)
    found = metric.corpus_score(list(hypotheses), [list(references)])
    return {"score": float(found.score), "signature": metric.get_signature().format()}


def scorable(hypotheses: Sequence[str], references: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return both sides as text that can be encoded: halves of a character become `?`.

    Raises:
        DataError: the two sides are not of the same length, or there are no rows.
    """
    if len(hypotheses) != len(references) or not len(references):
        raise DataError(
            f"expected one translation for each of the references, got {len(hypotheses):,} for "
            f"{len(references):,}; give the same rows on both sides, an empty line for a missing translation"
        )
    sides = [[whole_characters(text) for text in side] for side in (hypotheses, references)]
    return sides[0], sides[1]
