"""Domain mismatch, from texts and labels: new words, tokens a word, and shares of the labels.

What features say is in mismatch.py. Texts are compared by words, cut at spaces; for scripts that write none
the new-word rate is not measured.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from nlp_transfer.diagnostics.clusters import design_effect, random_halves, resampled_shares
from nlp_transfer.diagnostics.estimates import (
    MIN_ROWS,
    RESAMPLES,
    Array,
    Estimate,
    Integers,
    judged,
    missing,
    too_few,
)
from nlp_transfer.evaluation.intervals import bootstrap_weights, percentile_interval
from nlp_transfer.findings import Finding

Counts = Array | Integers
# Above what halves of the source lack of each other. Against 3,000 movie snippets other movie snippets have
# 11% new words and product reviews 16%; against 700 snippets 23% and 26%.
MAX_NEW_WORDS_ABOVE_HALVES = 0.05
# A third more tokens for a word: the vocabulary cuts the target's words to pieces.
MAX_TOKENS_A_WORD_RATIO = 1.3
MAX_LABEL_SHIFT = 0.10
MAX_LABEL_SHIFT_P = 0.05
MIN_SPACED_SHARE = 0.5
# First words of the Unicode names of letters in scripts that put no spaces between words.
UNSPACED_SCRIPTS = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")


@dataclass(frozen=True)
class NewWords:
    """The rate of words that one half of the source lacks, in the target and in the source's other half."""

    target: Estimate
    halves: Estimate


@dataclass(frozen=True)
class LabelShareDifference:
    """How far the shares of the labels differ, and whether chance explains it."""

    distance: Estimate
    """Total variation: 0 equal shares, 1 no label in common; n is that of the smaller side."""
    p: float | None
    """Of the chi-squared test of homogeneity, of as many rows as grouped ones are worth."""


def words_of(text: str) -> list[str]:
    """Cut a text at spaces, folded, without the punctuation around words.

    >>> words_of('It is "GREAT", really.')
    ['it', 'is', 'great', 'really']
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return [word for word in map(_stripped, folded.split()) if word]


def new_word_rate(
    source: Sequence[str], target: Sequence[str], *, groups: Integers | None = None, seed: int = 0
) -> Estimate:
    """Share of the target's running words that no source text holds, with a bootstrap over target texts.

    It falls as the source grows: compare rates against one source only, as `new_words` does.

    Args:
        source: texts.
        target: texts.
        groups: group number of each target text, or None; whole groups are drawn.
        seed: of the bootstrap.

    Returns:
        The rate; n is the number of target texts.
    """
    if len(target) < MIN_ROWS:
        return too_few(len(target), MIN_ROWS, "target texts")
    if _spaced_share([*source[:MIN_ROWS], *target[:MIN_ROWS]]) < MIN_SPACED_SHARE:
        return missing(len(target), "the script puts no spaces between words")
    known = {word for text in source for word in words_of(text)}
    per_text = [words_of(text) for text in target]
    new = np.asarray([sum(word not in known for word in words) for words in per_text], dtype=np.float64)
    counts = np.asarray([len(words) for words in per_text], dtype=np.float64)
    return _rate(new, counts, groups=groups, seed=seed)


def new_words(
    source: Sequence[str],
    target: Sequence[str],
    *,
    groups: tuple[Integers | None, Integers | None] = (None, None),
    seed: int = 0,
) -> NewWords:
    """Measure the new-word rate of the target beside the source's own, both against a random half of the
    source.

    Args:
        source: texts.
        target: texts.
        groups: group number of each text of either, or None; the halves divide whole groups, whose texts
            share their words.
        seed: draws the halves, and of the bootstrap.
    """
    halves = random_halves(len(source), groups[0], seed=seed)
    first, second = ([source[row] for row in half] for half in halves)
    of_second = None if groups[0] is None else groups[0][halves[1]]
    return NewWords(
        new_word_rate(first, target, groups=groups[1], seed=seed),
        new_word_rate(first, second, groups=of_second, seed=seed),
    )


def tokens_per_word(token_counts: Counts, word_counts: Counts, *, seed: int = 0) -> Estimate:
    """Tokens for one word over all texts, with a bootstrap over texts.

    Source: Rust et al. 2021, How good is your tokenizer? (fertility).

    Args:
        token_counts: tokens of each text without special ones, shape (rows,).
        word_counts: words of each text, shape (rows,).
        seed: of the bootstrap.
    """
    if len(token_counts) < MIN_ROWS:
        return too_few(len(token_counts), MIN_ROWS, "texts")
    return _rate(token_counts, word_counts, seed=seed)


def label_share_difference(
    source: Integers,
    target: Integers,
    *,
    classes: int,
    groups: tuple[Integers | None, Integers | None] = (None, None),
    seed: int = 0,
) -> LabelShareDifference:
    """Half the sum of absolute differences of the label shares (total variation distance).

    Chance alone makes it positive, the more so the fewer rows there are: read it with p. Rows that belong
    together are drawn together, and count in the test as many as they are worth.

    Source: Gibbs and Su 2002, On choosing and bounding probability metrics; p: Pearson's chi-squared test,
    of counts divided by their design effect where there are groups (Rao and Scott 1992).

    Args:
        source: class ids, shape (source rows,).
        target: class ids, shape (target rows,).
        classes: how many there are.
        groups: group number of each row of either side, or None.
        seed: of the bootstrap over the rows of both.
    """
    n = min(len(source), len(target))
    if n < MIN_ROWS:
        return LabelShareDifference(too_few(n, MIN_ROWS, "rows on the smaller side"), None)
    counts = np.stack([np.bincount(labels, minlength=classes) for labels in (source, target)])
    sides = list(zip((source, target), groups, strict=True))
    shares = counts / counts.sum(axis=1, keepdims=True)
    generator = np.random.default_rng(seed)
    drawn = [
        resampled_shares(labels, each, classes=classes, resamples=RESAMPLES, generator=generator)
        for labels, each in sides
    ]
    low, high = percentile_interval(0.5 * np.abs(drawn[0] - drawn[1]).sum(axis=1))
    value = float(0.5 * np.abs(shares[0] - shares[1]).sum())
    effects = np.asarray([[design_effect(labels, each, classes=classes)] for labels, each in sides])
    occurring = (counts / effects)[:, counts.sum(axis=0) > 0]
    p = 1.0 if occurring.shape[1] < 2 else float(stats.chi2_contingency(occurring, correction=False).pvalue)
    return LabelShareDifference(Estimate(value, n, min(low, value), max(high, value)), p)


def new_words_finding(rates: NewWords, *, threshold: float = MAX_NEW_WORDS_ABOVE_HALVES) -> Finding:
    """Word the new-word rates; warn where the target's is surely more than `threshold` above the
    source's own.
    """
    target, halves = rates.target, rates.halves
    above = target
    if target.value is not None and halves.value is not None:
        above = Estimate(target.value - halves.value, min(target.n, halves.n))
    elif halves.value is None:
        above = halves
    surely = target.low is not None and halves.high is not None and target.low - halves.high > threshold
    return judged(
        "new_words",
        above,
        threshold=threshold,
        bad=surely,
        evidence="running words that half of the source lacks, in percent: target "
        f"{target.words('.1f', factor=100)}, the source's other half {halves.words('.1f', factor=100)}",
        advice="train on unlabelled target text first, or label more target rows",
    )


def tokens_per_word_finding(
    source: Estimate,
    target: Estimate,
    *,
    threshold: float = MAX_TOKENS_A_WORD_RATIO,
    check: str = "tokens_per_word",
) -> Finding:
    """Word the target's tokens a word over the source's; warn above `threshold`.

    Args:
        source: tokens a word of the source's texts.
        target: of the target's.
        threshold: of their ratio.
        check: name of the finding.
    """
    if source.value is None or target.value is None:
        ratio = source if source.value is None else target
    else:
        ratio = Estimate(target.value / source.value, min(source.n, target.n))
    return judged(
        check,
        ratio,
        threshold=threshold,
        bad=ratio.value is not None and ratio.value > threshold,
        evidence=f"tokens a word: source {source.words('.2f')}, target {target.words('.2f')}",
        advice="choose a model whose vocabulary knows the target's words, language and script",
    )


def label_shift_finding(shift: LabelShareDifference, *, threshold: float = MAX_LABEL_SHIFT) -> Finding:
    """Word the difference of the label shares; warn where it is above `threshold` and not chance."""
    distance, p = shift.distance, shift.p
    significant = p is not None and p < MAX_LABEL_SHIFT_P
    return judged(
        "label_shift",
        distance,
        threshold=threshold,
        bad=distance.value is not None and distance.value > threshold and significant,
        evidence=f"label shares of source and target differ by {distance.words()} in total variation"
        + ("" if p is None else f", chi-squared p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}"),
        advice="read macro-F1 beside accuracy, and do not trust the source model's share of each label",
    )


def _rate(hits: Counts, totals: Counts, *, groups: Integers | None = None, seed: int) -> Estimate:
    """Sum of `hits` over sum of `totals`, with a bootstrap over rows, or over whole groups."""
    rows = len(hits)
    if not totals.sum():
        return missing(rows, "the texts hold no words")
    weights = bootstrap_weights(rows, resamples=RESAMPLES, seed=seed, groups=groups)
    drawn = weights @ totals
    low, high = percentile_interval((weights @ hits)[drawn > 0] / drawn[drawn > 0])
    value = float(hits.sum() / totals.sum())
    return Estimate(value, rows, min(low, value), max(high, value))


def _stripped(word: str) -> str:
    """Take off what is neither letter, mark nor digit at either end."""
    kept = [place for place, letter in enumerate(word) if unicodedata.category(letter)[0] in "LMN"]
    return word[kept[0] : kept[-1] + 1] if kept else ""


def _spaced_share(texts: Iterable[str]) -> float:
    """Share of letters that belong to scripts with spaces between words."""
    letters = [letter for text in texts for letter in text if letter.isalpha()]
    unspaced: npt.NDArray[np.bool_] = np.asarray(
        [unicodedata.name(letter, "").startswith(UNSPACED_SCRIPTS) for letter in letters], dtype=np.bool_
    )
    return 1.0 if not letters else float(1 - unspaced.mean())
