"""Scores of translations: the bundled `evaluate` modules for the values, sums over rows for resampling.

chrF++ (Popović 2015, 2017), BLEU (Papineni et al. 2002) and TER (Snover et al. 2006) of a corpus follow from
counts that add up over its rows. sacrebleu counts each row once, and one matrix product scores all resamples
of a bootstrap; tests hold that both ways give the same number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nlp_transfer.evaluation.sacrebleu_metrics import (
    CHRF_WORD_ORDER,
    sacrebleu_metric,
    scorable,
    score_and_signature,
)
from nlp_transfer.evaluation.scores import load_metric

Array = npt.NDArray[np.float64]
METRICS = ("chrf++", "bleu", "ter")
PRIMARY = "chrf++"
COMPARED = ("chrf++", "bleu")
MODULES = {"chrf++": "chrf", "bleu": "bleu", "ter": "ter"}
CHRF_BETA = 2
CHRF_ORDERS = 6 + CHRF_WORD_ORDER
BLEU_ORDERS = 4


@dataclass(frozen=True)
class SentenceStatistics:
    """What the scores of a corpus are made of, row by row."""

    chrf: Array
    """n-grams of translation, reference and both, for each order: shape (rows, 8 * 3)."""
    bleu: Array
    """Words of translation and reference, matches and n-grams of each order: shape (rows, 2 + 4 + 4)."""
    ter: Array
    """Edits, and words of the reference: shape (rows, 2)."""


def translation_scores(
    hypotheses: Sequence[str], references: Sequence[str], *, tgt_lang: str | None = None
) -> dict[str, float]:
    """Score translations with every bundled metric.

    Args:
        hypotheses: translations, shape (rows,).
        references: one for each, shape (rows,).
        tgt_lang: their language, which decides BLEU's tokenisation.

    Returns:
        Each metric on sacrebleu's scale of 0 to 100; TER may exceed it, and its lowest is best.

    Raises:
        DataError: there are not as many translations as references, or none.
    """
    predictions, references = scorable(hypotheses, references)
    found = {}
    for name in METRICS:
        settings = {"tgt_lang": tgt_lang} if name == "bleu" else {}
        computed = load_metric(MODULES[name]).compute(
            predictions=predictions, references=references, **settings
        )
        found[name] = float(computed["score"])
    return found


def metric_signatures(tgt_lang: str | None = None) -> dict[str, str]:
    """Return the signature of each metric, exactly as sacrebleu words it.

    >>> metric_signatures("gl")["chrf++"].startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:2|space:no|version:")
    True
    """
    return {
        name: str(score_and_signature(name, ["x"], ["x"], tgt_lang=tgt_lang)["signature"]) for name in METRICS
    }


def sentence_statistics(
    hypotheses: Sequence[str], references: Sequence[str], *, tgt_lang: str | None = None
) -> SentenceStatistics:
    """Count what each row adds to the three scores.

    TER takes most of the time: a tenth of a second for 1,000 rows of 9 words, up to 5 s for 1,000 rows of 15
    words that share few with their references.

    Raises:
        DataError: there are not as many translations as references, or none.
    """
    sides = scorable(hypotheses, references)
    found = [_counts(sacrebleu_metric(name, tgt_lang=tgt_lang), *sides) for name in METRICS]
    return SentenceStatistics(*found)


def chrf_statistics(hypotheses: Sequence[str], references: Sequence[str]) -> Array:
    """Count n-grams for chrF++ alone: shape (rows, 8 * 3)."""
    return _counts(sacrebleu_metric("chrf++"), *scorable(hypotheses, references))


def _counts(metric: Any, hypotheses: Sequence[str], references: Sequence[str]) -> Array:
    """Have sacrebleu count each row; the method behind its own paired bootstrap."""
    return np.asarray(metric._extract_corpus_statistics(hypotheses, [references]), dtype=np.float64)


def resampled_scores(statistics: SentenceStatistics, weights: Array) -> dict[str, Array]:
    """Score the same translations under many weightings of the rows.

    Args:
        statistics: counts of each row.
        weights: shape (resamples, rows); how often each row counts, up to a factor. Each line is scaled to as
            many rows as there are, since BLEU's smoothing depends on the amount of text.

    Returns:
        For each metric an array of shape (resamples,).
    """
    scaled = weights * (weights.shape[1] / weights.sum(axis=1, keepdims=True))
    return {
        "chrf++": chrf_of_counts(scaled @ statistics.chrf),
        "bleu": _bleu_of_counts(scaled @ statistics.bleu),
        "ter": _ter_of_counts(scaled @ statistics.ter),
    }


def sentence_chrf(hypotheses: Sequence[str], references: Sequence[str]) -> Array:
    """Score each row alone with chrF++, shape (rows,).

    >>> sentence_chrf(["Gardar o ficheiro", ""], ["Gardar o ficheiro", "Abrir"]).tolist()
    [100.0, 0.0]
    """
    return chrf_of_counts(chrf_statistics(hypotheses, references))


def worst_rows(
    ids: Sequence[str],
    sources: Sequence[str],
    references: Sequence[str],
    translations: Sequence[str],
    *,
    most: int = 10,
) -> list[dict[str, Any]]:
    """Return the rows with the lowest sentence chrF++, the worst first, for a person to read.

    Returns:
        `id`, `chrf++`, `source`, `reference` and `translation` of each.
    """
    scores = sentence_chrf(translations, references)
    return [
        {
            "id": ids[row],
            PRIMARY: float(scores[row]),
            "source": sources[row],
            "reference": references[row],
            "translation": translations[row],
        }
        for row in np.argsort(scores, kind="stable")[:most].tolist()
    ]


def chrf_of_counts(counts: Array) -> Array:
    """Compute chrF++ from summed counts (Popović 2015, equation 1; 2017), as sacrebleu does.

    Precision and recall are averaged over the orders of which both sides have n-grams; without any, or
    without a match, the score is 0.

    Args:
        counts: shape (..., 8 * 3).
    """
    hypothesis, reference, both = np.moveaxis(counts.reshape(*counts.shape[:-1], CHRF_ORDERS, 3), -1, 0)
    usable = (hypothesis > 0) & (reference > 0)
    orders = usable.sum(axis=-1)
    precision = _share(_share(both, hypothesis, usable).sum(axis=-1), orders, orders > 0)
    recall = _share(_share(both, reference, usable).sum(axis=-1), orders, orders > 0)
    factor = CHRF_BETA**2
    below = factor * precision + recall
    return 100 * _share((1 + factor) * precision * recall, below, below > 0)


def _bleu_of_counts(counts: Array) -> Array:
    """Compute BLEU from summed counts of shape (resamples, 2 + 4 + 4) (Papineni et al. 2002, section 2.3).

    Orders without a match are smoothed as in mteval-v13a (Chen and Cherry 2014, method 3): the first counts
    half a match, the next a quarter. Without a single match, or without any n-gram of an order, it is 0.
    """
    hypothesis_words, reference_words = counts[:, 0], counts[:, 1]
    matches, totals = counts[:, 2 : 2 + BLEU_ORDERS], counts[:, 2 + BLEU_ORDERS :]
    smoothed = np.where(matches > 0, matches, 0.5 ** np.cumsum(matches <= 0, axis=1))
    precision = _share(smoothed, totals, totals > 0)
    defined = np.asarray((matches > 0).any(axis=1) & (totals > 0).all(axis=1))
    mean_log = np.log(np.where(defined[:, None], precision, 1.0)).mean(axis=1)
    short = defined & (hypothesis_words < reference_words)
    penalty = np.where(short, 1 - _share(reference_words, hypothesis_words, short), 0.0)
    return np.where(defined, 100 * np.exp(penalty + mean_log), 0.0)


def _ter_of_counts(counts: Array) -> Array:
    """Compute TER from summed edits and reference words (Snover et al. 2006, equation 1).

    Against empty references it is 100 where anything was written, else 0.
    """
    edits, words = counts[:, 0], counts[:, 1]
    return 100 * np.where(words > 0, _share(edits, words, words > 0), edits > 0)


def _share(part: Array, whole: npt.NDArray[Any], where: npt.NDArray[np.bool_]) -> Array:
    """Divide where it can be done; 0 elsewhere."""
    shares: Array = np.divide(part, whole, out=np.zeros(part.shape), where=where)
    return shares
